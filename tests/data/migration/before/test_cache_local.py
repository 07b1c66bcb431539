from unittest.mock import AsyncMock


async def session_user(redis, session_id):
    data = await redis.hgetall(f"session:{session_id}")
    return data.get("user") if data else None


async def test_session_has_a_user():
    redis = AsyncMock()
    redis.hgetall.return_value = {"user": "bruno", "ip": "198.51.100.7"}

    user = await session_user(redis, "s-1")

    assert user == "bruno"  # the name, not the address
    redis.hgetall.assert_called_once_with("session:s-1")


async def test_no_session():
    redis = AsyncMock()
    redis.hgetall.return_value = {}
    assert await session_user(redis, "s-2") is None
