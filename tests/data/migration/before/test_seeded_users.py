"""Rows that fit the seeded tables."""

from unittest.mock import AsyncMock
from uuid import uuid4


async def active_email(conn, user_id):
    row = await conn.fetchrow("SELECT email, is_active FROM users WHERE id = $1", user_id)
    return row["email"] if row and row["is_active"] else None


async def test_active_user():
    user_id = uuid4()
    conn = AsyncMock()
    conn.fetchrow.return_value = {"email": "dana@shop.example", "is_active": True}
    assert await active_email(conn, user_id) == "dana@shop.example"


async def test_inactive_user():
    user_id = uuid4()
    conn = AsyncMock()
    conn.fetchrow.return_value = {"email": "dana@shop.example", "is_active": False}
    assert await active_email(conn, user_id) is None
