"""A client that gives bytes."""

from unittest.mock import AsyncMock


async def flag(redis, name):
    value = await redis.get(f"flag:{name}")
    return value is not None and value.decode() == "on"


async def test_flag_is_on():
    redis = AsyncMock()
    redis.get.return_value = b"on"
    assert await flag(redis, "search") is True
    redis.get.assert_awaited_once_with("flag:search")
