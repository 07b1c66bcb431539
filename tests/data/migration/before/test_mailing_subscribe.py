from unittest.mock import AsyncMock

import pytest
from bookshop.mailing import Mailing


@pytest.fixture
def mock_db():
    return AsyncMock()


@pytest.fixture
def mock_redis():
    return AsyncMock()


@pytest.fixture
def mailing(mock_db, mock_redis):
    return Mailing(mock_db, mock_redis)


class TestSubscribe:
    async def test_gives_the_row(self, mailing, mock_db, mock_redis):
        mock_db.fetchrow.return_value = {"id": 11, "email": "ada@shop.example", "topic": "poems"}

        found = await mailing.subscribe("ada@shop.example", "poems")

        assert found == {"id": 11, "email": "ada@shop.example", "topic": "poems"}
        mock_redis.sadd.assert_awaited_once_with("topic:poems", "ada@shop.example")

    async def test_unsubscribe(self, mailing, mock_db, mock_redis):
        await mailing.unsubscribe("ada@shop.example", "poems")
        mock_db.execute.assert_awaited_once_with(
            "DELETE FROM subscriptions WHERE email = $1 AND topic = $2", "ada@shop.example", "poems"
        )
        mock_redis.srem.assert_awaited_once_with("topic:poems", "ada@shop.example")
