"""Accounts, with a connection for each call."""

import contextlib


@contextlib.asynccontextmanager
async def get_connection():
    raise RuntimeError("no database is configured")
    yield


async def balance(owner):
    async with get_connection() as connection:
        found = await connection.fetchval("SELECT balance FROM accounts WHERE owner = $1", owner)
    return found or 0


class Ledger:
    @classmethod
    def client(cls):
        raise RuntimeError("no Redis is configured")

    async def note(self, owner, text):
        await self.client().lpush(f"ledger:{owner}", text)
