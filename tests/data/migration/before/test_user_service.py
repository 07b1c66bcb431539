"""A service with a database and a cache, and a fixture for each."""

import json
import logging
from typing import Optional
from unittest.mock import AsyncMock, MagicMock, patch

import pytest

logger = logging.getLogger(__name__)


class UserService:
    def __init__(self, db, cache=None, ttl: int = 300):
        self.db = db
        self.cache = cache
        self.ttl = ttl

    def _key(self, user_id: str) -> str:
        return f"user:{user_id}"

    async def get_user(self, user_id: str) -> Optional[dict]:
        if self.cache is not None:
            cached = await self.cache.get(self._key(user_id))
            if cached:
                logger.info("hit %s", user_id)
                return json.loads(cached)
        row = await self.db.fetchrow(
            """
            SELECT id, email, name
            FROM users
            WHERE id = $1
            """,
            user_id,
        )
        if not row:
            return None
        user = dict(row)
        if self.cache is not None:
            await self.cache.setex(self._key(user_id), self.ttl, json.dumps(user))
        return user

    async def create_user(self, email: str, name: str) -> dict:
        existing = await self.db.fetchrow("SELECT id FROM users WHERE email = $1", email)
        if existing:
            raise ValueError("Email already registered")
        row = await self.db.fetchrow(
            "INSERT INTO users (email, name) VALUES ($1, $2) RETURNING id, email, name", email, name
        )
        return dict(row)

    async def delete_user(self, user_id):
        result = await self.db.execute("DELETE FROM users WHERE id = $1", user_id)
        await self.cache.delete(self._key(user_id))
        return result == "DELETE 1"


@pytest.fixture
def mock_db() -> AsyncMock:
    """Mock database connection."""
    db = AsyncMock()
    db.fetchrow = AsyncMock(return_value=None)
    db.execute = AsyncMock(return_value="INSERT 0 1")
    return db


@pytest.fixture
def mock_redis() -> AsyncMock:
    redis = AsyncMock()
    redis.get = AsyncMock(return_value=None)
    redis.setex = AsyncMock(return_value=True)
    redis.delete = AsyncMock(return_value=1)
    return redis


@pytest.fixture
def service(mock_db: AsyncMock, mock_redis: AsyncMock) -> UserService:
    return UserService(mock_db, cache=mock_redis)


class TestUserService:
    @pytest.mark.asyncio
    async def test_get_user_from_db(self, service: UserService, mock_db: AsyncMock, mock_redis: AsyncMock) -> None:
        mock_db.fetchrow.return_value = {"id": "user-123", "email": "a@example.com", "name": "A"}
        user = await service.get_user("user-123")
        assert user is not None
        assert user["email"] == "a@example.com"
        mock_db.fetchrow.assert_called_once()
        mock_redis.setex.assert_called_once()

    @pytest.mark.asyncio
    async def test_get_user_cached(self, service, mock_db, mock_redis):
        mock_redis.get.return_value = json.dumps({"id": "user-123", "email": "a@example.com"})
        user = await service.get_user("user-123")
        assert user["id"] == "user-123"
        mock_db.fetchrow.assert_not_called()

    @pytest.mark.asyncio
    async def test_create(self, service, mock_db):
        mock_db.fetchrow.side_effect = [None, {"id": "u1", "email": "new@example.com", "name": "N"}]
        user = await service.create_user("new@example.com", "N")
        assert user["id"] == "u1"
        assert mock_db.fetchrow.call_count == 2

    @pytest.mark.asyncio
    async def test_create_dup(self, service, mock_db):
        mock_db.fetchrow.return_value = {"id": "u1"}
        with pytest.raises(ValueError, match="already"):
            await service.create_user("new@example.com", "N")

    @pytest.mark.asyncio
    async def test_delete(self, service, mock_db, mock_redis):
        mock_db.execute.return_value = "DELETE 1"
        assert await service.delete_user("user-123") is True
        mock_redis.delete.assert_called_once_with("user:user-123")
