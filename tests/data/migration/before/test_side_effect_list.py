from unittest.mock import AsyncMock


async def first_known(redis, names):
    for name in names:
        value = await redis.get(f"nick:{name}")
        if value is not None:
            return value
    return None


async def test_first_known():
    redis = AsyncMock()
    redis.get.side_effect = [None, "Ada Lovelace"]
    assert await first_known(redis, ["countess", "ada"]) == "Ada Lovelace"


async def test_none_known():
    redis = AsyncMock()
    redis.get.side_effect = [None, None]
    assert await first_known(redis, ["countess", "ada"]) is None
    assert redis.get.call_count == 2
