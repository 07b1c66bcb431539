from unittest.mock import AsyncMock, MagicMock, patch

from bookshop import accounts


@patch("bookshop.accounts.get_connection")
async def test_balance(mock_get_connection):
    connection = AsyncMock()
    connection.fetchval.return_value = 120
    mock_get_connection.return_value.__aenter__.return_value = connection
    assert await accounts.balance("ada") == 120


@patch.object(accounts.Ledger, "client")
async def test_note(mock_client_of_redis):
    redis = AsyncMock()
    mock_client_of_redis.return_value = redis
    await accounts.Ledger().note("ada", "paid")
    redis.lpush.assert_awaited_once_with("ledger:ada", "paid")


def test_names():
    assert MagicMock is not AsyncMock
