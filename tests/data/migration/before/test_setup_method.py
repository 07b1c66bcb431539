from unittest.mock import AsyncMock


class Counter:
    def __init__(self, redis):
        self.redis = redis

    async def hit(self, page):
        return await self.redis.incr(f"hits:{page}")


class TestCounter:
    def setup_method(self):
        self.redis = AsyncMock()
        self.counter = Counter(self.redis)

    async def test_first_hit(self):
        self.redis.incr.return_value = 1
        assert await self.counter.hit("/") == 1
        self.redis.incr.assert_awaited_once_with("hits:/")

    async def test_tenth_hit(self):
        self.redis.incr.return_value = 10
        assert await self.counter.hit("/") == 10
