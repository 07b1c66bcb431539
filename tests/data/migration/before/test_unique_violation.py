from unittest.mock import AsyncMock

import asyncpg
import pytest


class EmailTaken(Exception):
    pass


async def sign_up(db, email):
    try:
        await db.execute("INSERT INTO users (email) VALUES ($1)", email)
    except asyncpg.UniqueViolationError as error:
        raise EmailTaken(email) from error


async def test_email_is_taken():
    db = AsyncMock()
    db.execute.side_effect = asyncpg.UniqueViolationError("duplicate key")
    with pytest.raises(EmailTaken):
        await sign_up(db, "ada@shop.example")


async def test_sign_up():
    db = AsyncMock()
    await sign_up(db, "ada@shop.example")
    db.execute.assert_awaited_once()
