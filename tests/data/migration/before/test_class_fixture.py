from unittest.mock import AsyncMock

import pytest


class Basket:
    """Kept as a hash: book and number."""

    def __init__(self, redis, owner):
        self.redis = redis
        self.key = f"basket:{owner}"

    async def put(self, isbn, number):
        await self.redis.hset(self.key, isbn, number)
        await self.redis.expire(self.key, 1800)

    async def drop(self, isbn):
        await self.redis.hdel(self.key, isbn)

    async def content(self):
        return {isbn: int(number) for isbn, number in (await self.redis.hgetall(self.key)).items()}


class TestBasket:
    @pytest.fixture
    def redis_mock(self):
        return AsyncMock()

    @pytest.fixture
    def basket(self, redis_mock):
        return Basket(redis_mock, "ada")

    async def test_put(self, basket, redis_mock):
        await basket.put("978", 2)
        redis_mock.hset.assert_awaited_once_with("basket:ada", "978", 2)
        redis_mock.expire.assert_awaited_once_with("basket:ada", 1800)

    async def test_drop(self, basket, redis_mock):
        await basket.drop("978")
        redis_mock.hdel.assert_awaited_once_with("basket:ada", "978")

    async def test_content(self, basket, redis_mock):
        redis_mock.hgetall.return_value = {"978": "2", "979": "1"}
        assert await basket.content() == {"978": 2, "979": 1}
