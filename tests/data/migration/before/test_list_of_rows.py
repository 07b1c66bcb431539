from unittest.mock import AsyncMock


async def titles(conn, shelf):
    rows = await conn.fetch("SELECT title FROM books WHERE shelf = $1 ORDER BY title", shelf)
    return [row["title"] for row in rows]


async def test_titles():
    conn = AsyncMock()
    conn.fetch = AsyncMock(return_value=[{"title": "Heidi"}, {"title": "Momo"}])
    assert await titles(conn, 3) == ["Heidi", "Momo"]


async def test_empty_shelf():
    conn = AsyncMock()
    conn.fetch = AsyncMock(return_value=[])
    assert await titles(conn, 4) == []
