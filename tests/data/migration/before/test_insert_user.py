from unittest.mock import AsyncMock


class Registration:
    def __init__(self, database):
        self.database = database

    async def register(self, email, name):
        email = email.strip().lower()
        await self.database.execute("INSERT INTO users (email, name) VALUES ($1, $2)", email, name)
        return email


async def test_register():
    mock_database = AsyncMock()
    assert await Registration(mock_database).register(" Ada@Shop.example ", "Ada") == "ada@shop.example"
    mock_database.execute.assert_awaited_once_with(
        "INSERT INTO users (email, name) VALUES ($1, $2)", "ada@shop.example", "Ada"
    )
