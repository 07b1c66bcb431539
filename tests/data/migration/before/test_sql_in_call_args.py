from unittest.mock import AsyncMock


async def deactivate(db, name):
    await db.execute("UPDATE customers SET active = false WHERE name = $1", name)


async def test_deactivate():
    db = AsyncMock()
    db.execute.return_value = "UPDATE 1"
    await deactivate(db, "ada")
    sql, name = db.execute.call_args[0]
    assert "UPDATE customers" in sql
    assert name == "ada"


async def test_deactivate_once():
    db = AsyncMock()
    await deactivate(db, "ada")
    assert db.execute.call_count == 1
