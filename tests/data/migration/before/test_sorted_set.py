from unittest.mock import AsyncMock


class Scores:
    KEY = "scores"

    def __init__(self, redis):
        self._redis = redis

    async def add(self, player, points):
        await self._redis.zadd(self.KEY, {player: points})

    async def best(self):
        found = await self._redis.zrange(self.KEY, -1, -1)
        return found[0] if found else None


async def test_add():
    redis = AsyncMock()
    await Scores(redis).add("ada", 120)
    redis.zadd.assert_awaited_once_with("scores", {"ada": 120})


async def test_best():
    redis = AsyncMock()
    redis.zrange.return_value = ["ada"]
    assert await Scores(redis).best() == "ada"


async def test_nobody_played():
    redis = AsyncMock()
    redis.zrange.return_value = []
    assert await Scores(redis).best() is None
