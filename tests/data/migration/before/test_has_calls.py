from unittest.mock import AsyncMock, call


async def warm_up(redis, pages):
    for page in pages:
        await redis.set(f"page:{page}", "cold", ex=30)


async def test_warm_up():
    redis = AsyncMock()
    await warm_up(redis, ["home", "help"])
    redis.set.assert_has_awaits([call("page:home", "cold", ex=30), call("page:help", "cold", ex=30)])
    assert redis.set.await_count == 2
