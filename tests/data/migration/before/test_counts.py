from unittest.mock import AsyncMock


async def open_tickets(db, team):
    return await db.fetchval("SELECT count(*) FROM tickets WHERE team = $1 AND closed_at IS NULL", team)


async def test_three_open_tickets():
    db = AsyncMock()
    db.fetchval.return_value = 3
    assert await open_tickets(db, "red") == 3


async def test_no_open_ticket():
    db = AsyncMock()
    db.fetchval = AsyncMock(return_value=0)
    assert await open_tickets(db, "blue") == 0
