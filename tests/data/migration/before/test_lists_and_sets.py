from unittest.mock import AsyncMock


async def enqueue(redis, job):
    await redis.rpush("jobs", job)
    await redis.sadd("jobs:known", job)


async def pending(redis):
    return await redis.lrange("jobs", 0, -1)


async def test_enqueue():
    redis = AsyncMock()
    await enqueue(redis, "mail:7")
    redis.rpush.assert_awaited_once_with("jobs", "mail:7")
    redis.sadd.assert_awaited_once_with("jobs:known", "mail:7")


async def test_pending():
    redis = AsyncMock()
    redis.lrange.return_value = ["mail:1", "mail:2"]
    assert await pending(redis) == ["mail:1", "mail:2"]
