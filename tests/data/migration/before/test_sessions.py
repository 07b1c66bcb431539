"""Rows that refer to other rows."""

from unittest.mock import AsyncMock
from uuid import UUID, uuid4

USER = UUID("11111111-2222-3333-4444-555555555555")


async def open_session(db, user_id, token):
    await db.execute("INSERT INTO sessions (user_id, token) VALUES ($1, $2)", user_id, token)
    return token


async def user_of(db, token):
    return await db.fetchval("SELECT user_id FROM auth.sessions WHERE token = $1 AND revoked_at IS NULL", token)


async def test_open_session():
    db = AsyncMock()
    user_id = uuid4()
    assert await open_session(db, user_id, "t-1") == "t-1"
    db.execute.assert_awaited_once_with("INSERT INTO sessions (user_id, token) VALUES ($1, $2)", user_id, "t-1")


async def test_user_of():
    db = AsyncMock()
    db.fetchval.return_value = USER
    assert await user_of(db, "t-2") == USER
