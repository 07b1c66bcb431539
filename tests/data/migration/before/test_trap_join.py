from unittest.mock import AsyncMock


async def bestseller(db):
    return await db.fetchval(
        "SELECT b.title FROM books b JOIN sales s ON s.book_id = b.id GROUP BY b.title ORDER BY sum(s.copies) DESC LIMIT 1"
    )


async def test_bestseller():
    db = AsyncMock()
    db.fetchval.return_value = "Momo"
    assert await bestseller(db) == "Momo"
