import unittest
from unittest.mock import AsyncMock


async def name_of(db, customer):
    row = await db.fetchrow("SELECT name FROM customers WHERE id = $1", customer)
    return row["name"]


class NameTest(unittest.IsolatedAsyncioTestCase):
    def setUp(self):
        self.db = AsyncMock()

    async def test_name(self):
        self.db.fetchrow.return_value = {"name": "Ada"}
        self.assertEqual(await name_of(self.db, 1), "Ada")
        self.db.fetchrow.assert_awaited_once()
