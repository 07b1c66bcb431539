"""A repository of users, written without many blank lines."""
from unittest.mock import AsyncMock, MagicMock, Mock
import pytest
from datetime import datetime, timezone
from uuid import UUID, uuid4
from dataclasses import dataclass

@dataclass
class User:
    id: UUID
    email: str
    is_active: bool = True

class NotFound(Exception): ...

class UserRepository:
    def __init__(self, conn): self.conn = conn
    async def by_id(self, uid):
        row = await self.conn.fetchrow("SELECT id, email, is_active FROM users WHERE id = $1", uid)
        if row is None:
            raise NotFound(uid)
        return User(id=row["id"], email=row["email"], is_active=row["is_active"])
    async def list_active(self, limit=10, offset=0):
        rows = await self.conn.fetch("SELECT id, email, is_active FROM users WHERE is_active = true ORDER BY email LIMIT $1 OFFSET $2", limit, offset)
        return [User(**dict(r)) for r in rows]
    async def create(self, email):
        return await self.conn.fetchval("INSERT INTO users (email) VALUES ($1) RETURNING id", email)
    async def set_active(self, uid, active):
        status = await self.conn.execute("UPDATE users SET is_active = $2, updated_at = NOW() WHERE id = $1", uid, active)
        return status.split()[-1] == "1"
    async def total(self):
        return await self.conn.fetchval("SELECT COUNT(*) FROM users")
    async def bulk(self, emails):
        await self.conn.executemany("INSERT INTO users (email) VALUES ($1)", [(e,) for e in emails])
    async def touch(self, uid):
        await self.conn.execute("UPDATE users SET last_login_at = $1 WHERE id = $2", datetime.now(timezone.utc), uid)
    async def search(self, term):
        return await self.conn.fetch("SELECT id, email FROM users WHERE email ILIKE $1", f"%{term}%")

USER_ID = UUID("12345678-1234-5678-1234-567812345678")

@pytest.fixture
def conn():
    return AsyncMock()
@pytest.fixture
def repo(conn):
    return UserRepository(conn)

async def test_by_id(repo, conn):
    conn.fetchrow.return_value = {"id": USER_ID, "email": "a@b.example", "is_active": True}
    user = await repo.by_id(USER_ID)
    assert user == User(USER_ID, "a@b.example")
    conn.fetchrow.assert_awaited_once()
    sql, uid = conn.fetchrow.await_args.args
    assert "FROM users" in sql
    assert uid == USER_ID

async def test_missing(repo, conn):
    conn.fetchrow.return_value = None
    with pytest.raises(NotFound):
        await repo.by_id(uuid4())

async def test_list(repo, conn):
    conn.fetch.return_value = [
        {"id": uuid4(), "email": "a@b.example", "is_active": True},
        {"id": uuid4(), "email": "c@b.example", "is_active": True},
    ]
    users = await repo.list_active()
    assert [u.email for u in users] == ["a@b.example", "c@b.example"]

async def test_create(repo, conn):
    new_id = uuid4()
    conn.fetchval.return_value = new_id
    assert await repo.create("x@y.example") == new_id

async def test_create2(repo, conn):
    await repo.create("x@y.example")
    conn.fetchval.assert_awaited_once()
    assert conn.fetchval.await_args.args[1] == "x@y.example"

async def test_set_active(repo, conn):
    conn.execute.return_value = "UPDATE 1"
    assert await repo.set_active(USER_ID, False) is True

async def test_set_active_none(repo, conn):
    conn.execute.return_value = "UPDATE 0"
    assert await repo.set_active(USER_ID, False) is False

async def test_total(repo, conn):
    conn.fetchval.return_value = 42
    assert await repo.total() == 42

async def test_bulk(repo, conn):
    await repo.bulk(["a@x.example", "b@x.example"])
    conn.executemany.assert_awaited_once()

async def test_touch(repo, conn):
    await repo.touch(USER_ID)
    conn.execute.assert_awaited_once()

async def test_search(repo, conn):
    conn.fetch.return_value = [{"id": USER_ID, "email": "ada@b.example"}]
    found = await repo.search("ada")
    assert len(found) == 1
    assert found[0]["email"] == "ada@b.example"
