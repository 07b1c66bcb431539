from unittest.mock import AsyncMock

import pytest


class Busy(Exception):
    pass


async def once(redis, job, work):
    if not await redis.set(f"lock:{job}", "1", nx=True, ex=30):
        raise Busy(job)
    try:
        return await work()
    finally:
        await redis.delete(f"lock:{job}")


async def answer():
    return 42


async def test_runs_and_unlocks():
    redis = AsyncMock()
    redis.set.return_value = True
    assert await once(redis, "report", answer) == 42
    redis.delete.assert_awaited_once_with("lock:report")


async def test_busy():
    redis = AsyncMock()
    redis.set.return_value = None
    with pytest.raises(Busy):
        await once(redis, "report", answer)
