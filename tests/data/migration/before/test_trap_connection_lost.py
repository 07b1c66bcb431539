"""A server that fails is nothing that data can bring about."""

from unittest.mock import AsyncMock

import pytest


async def lookup(redis, key, default):
    try:
        return await redis.get(key)
    except ConnectionError:
        return default


@pytest.fixture
def mock_redis():
    return AsyncMock()


async def test_default_when_the_server_is_away(mock_redis):
    mock_redis.get.side_effect = ConnectionError("gone")
    assert await lookup(mock_redis, "colour", "blue") == "blue"
    mock_redis.get.assert_awaited_once_with("colour")


async def test_value(mock_redis):
    mock_redis.get.return_value = "red"
    assert await lookup(mock_redis, "colour", "blue") == "red"
