from unittest.mock import AsyncMock

import pytest
from bookshop.mailing import Mailing


@pytest.fixture
def db():
    mock_database = AsyncMock()
    mock_database.fetch.return_value = []
    return mock_database


@pytest.fixture
def redis():
    return AsyncMock()


async def test_from_the_cache(db, redis):
    redis.smembers.return_value = {"b@x.example", "a@x.example"}
    assert await Mailing(db, redis).subscribers("poems") == ["a@x.example", "b@x.example"]
    db.fetch.assert_not_awaited()


async def test_from_the_database(db, redis):
    redis.smembers.return_value = set()
    db.fetch.return_value = [{"email": "b@x.example"}, {"email": "a@x.example"}]
    assert await Mailing(db, redis).subscribers("poems") == ["a@x.example", "b@x.example"]
    redis.sadd.assert_awaited_once_with("topic:poems", "a@x.example", "b@x.example")


async def test_nobody(db, redis):
    redis.smembers.return_value = set()
    assert await Mailing(db, redis).subscribers("poems") == []
    redis.sadd.assert_not_called()
