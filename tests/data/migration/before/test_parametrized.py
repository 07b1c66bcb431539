from unittest.mock import AsyncMock

import pytest


async def is_blocked(redis, address):
    return bool(await redis.sismember("blocked", address))


@pytest.mark.parametrize("address", ["198.51.100.1", "198.51.100.2"])
async def test_blocked(address):
    redis = AsyncMock()
    redis.sismember.return_value = True
    assert await is_blocked(redis, address)
    redis.sismember.assert_awaited_once_with("blocked", address)


@pytest.mark.parametrize("address", ["203.0.113.9"])
async def test_not_blocked(address):
    redis = AsyncMock()
    redis.sismember.return_value = False
    assert not await is_blocked(redis, address)
