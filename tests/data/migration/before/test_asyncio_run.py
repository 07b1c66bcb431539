import asyncio
from unittest.mock import AsyncMock


async def greet(redis, user):
    name = await redis.hget(f"user:{user}", "name")
    return f"Hello {name}"


def test_greet():
    redis = AsyncMock()
    redis.hget.return_value = "Ada"
    assert asyncio.run(greet(redis, 1)) == "Hello Ada"
