import pytest
from unittest.mock import AsyncMock, MagicMock, patch, ANY


class SessionManager:
    def __init__(self, redis_client):
        self.redis = redis_client

    async def create(self, user_id):
        import uuid
        sid = str(uuid.uuid4())
        await self.redis.hset(f"session:{sid}", mapping={"user_id": user_id})
        await self.redis.expire(f"session:{sid}", 3600)
        return sid

    async def batch(self, items):
        async with self.redis.pipeline() as pipe:
            for k, v in items.items():
                pipe.set(k, v)
            await pipe.execute()

    async def publish(self, msg):
        await self.redis.publish("chan", msg)


@pytest.fixture
def redis_client():
    return AsyncMock()


async def test_create(redis_client):
    m = SessionManager(redis_client)
    sid = await m.create("u1")
    assert sid
    redis_client.hset.assert_called_once()
    redis_client.expire.assert_called_once_with(f"session:{sid}", 3600)


async def test_batch():
    redis_client = MagicMock()
    pipe = MagicMock()
    pipe.execute = AsyncMock(return_value=[True])
    redis_client.pipeline.return_value.__aenter__.return_value = pipe
    await SessionManager(redis_client).batch({"a": "1"})
    pipe.set.assert_called_once_with("a", "1")
    pipe.execute.assert_awaited_once()


async def test_pub(redis_client):
    await SessionManager(redis_client).publish("hi")
    redis_client.publish.assert_awaited_once_with("chan", "hi")
