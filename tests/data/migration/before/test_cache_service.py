"""A cache of JSON with a prefix, tested by a class."""
from unittest.mock import AsyncMock, MagicMock, patch, Mock
import pytest
import json
from datetime import datetime, timezone
from uuid import uuid4

class CacheService:
    def __init__(self, redis, prefix="app"):
        self._redis = redis
        self._prefix = prefix
    def _make_key(self, *parts): return ":".join([self._prefix, *parts])
    async def get_json(self, key):
        raw = await self._redis.get(self._make_key(key))
        if raw is None:
            return None
        try:
            return json.loads(raw)
        except json.JSONDecodeError:
            await self._redis.delete(self._make_key(key))
            return None
    async def set_json(self, key, value, ttl=None):
        data = json.dumps(value, sort_keys=True)
        if ttl:
            await self._redis.set(self._make_key(key), data, ex=ttl)
        else:
            await self._redis.set(self._make_key(key), data)
    async def exists(self, key):
        return bool(await self._redis.exists(self._make_key(key)))
    async def incr(self, key, amount=1):
        return await self._redis.incrby(self._make_key(key), amount)
    async def clear(self):
        keys = await self._redis.keys(f"{self._prefix}:*")
        if keys:
            return await self._redis.delete(*keys)
        return 0
    async def healthy(self):
        try:
            return await self._redis.ping()
        except Exception:
            return False

@pytest.fixture
def mock_redis():
    mock = AsyncMock()
    mock.get.return_value = None
    mock.set.return_value = True
    mock.delete.return_value = 1
    mock.exists.return_value = 0
    return mock

@pytest.fixture
def cache(mock_redis):
    return CacheService(mock_redis)

@pytest.mark.asyncio
class TestCache:
    async def test_get_missing(self, cache, mock_redis):
        assert await cache.get_json("x") is None
        mock_redis.get.assert_called_once_with("app:x")
    async def test_get_hit(self, cache, mock_redis):
        mock_redis.get.return_value = '{"a": 1}'
        result = await cache.get_json("x")
        assert result == {"a": 1}
    async def test_corrupt(self, cache, mock_redis):
        mock_redis.get.return_value = "not json"
        assert await cache.get_json("x") is None
        mock_redis.delete.assert_called_once_with("app:x")
    async def test_set(self, cache, mock_redis):
        await cache.set_json("x", {"b": 2, "a": 1}, ttl=60)
        mock_redis.set.assert_called_once_with("app:x", '{"a": 1, "b": 2}', ex=60)
    async def test_set_args(self, cache, mock_redis):
        await cache.set_json("x", [1])
        call = mock_redis.set.call_args
        assert call.args[0] == "app:x"
        assert json.loads(call.args[1]) == [1]
    async def test_exists(self, cache, mock_redis):
        mock_redis.exists.return_value = 1
        assert await cache.exists("x") is True
    async def test_incr(self, cache, mock_redis):
        mock_redis.incrby.return_value = 7
        assert await cache.incr("n", 2) == 7
        mock_redis.incrby.assert_awaited_once_with("app:n", 2)
    async def test_clear(self, cache, mock_redis):
        mock_redis.keys.return_value = ["app:a", "app:b"]
        mock_redis.delete.return_value = 2
        assert await cache.clear() == 2
        mock_redis.delete.assert_awaited_once_with("app:a", "app:b")
    async def test_ping(self, cache, mock_redis):
        mock_redis.ping.return_value = True
        assert await cache.healthy() is True
