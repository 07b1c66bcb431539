"""Everything is told in the constructor."""

from unittest.mock import AsyncMock

LIMIT = 3


async def may_log_in(redis, user):
    failures = int(await redis.get(f"failures:{user}") or 0)
    return failures < LIMIT


async def test_few_failures():
    redis = AsyncMock(get=AsyncMock(return_value="2"))
    assert await may_log_in(redis, "ada")


async def test_too_many_failures():
    redis = AsyncMock(**{"get.return_value": "3"})
    assert not await may_log_in(redis, "ada")


async def test_no_failure():
    redis = AsyncMock(**{"get.return_value": None})
    assert await may_log_in(redis, "ada")
