from unittest.mock import AsyncMock

import pytest
from bookshop.orders import UnknownCustomer, place_order


@pytest.fixture
def db():
    return AsyncMock(name="database")


class TestPlaceOrder:
    async def test_total(self, db):
        db.fetchval.return_value = True
        assert await place_order(db, "ada", [("978", 12), ("979", 30)]) == 42
        db.execute.assert_awaited_once_with("INSERT INTO orders (customer, total) VALUES ($1, $2)", "ada", 42)

    async def test_unknown_customer(self, db):
        db.fetchval.return_value = False
        with pytest.raises(UnknownCustomer):
            await place_order(db, "nobody", [("978", 12)])
        db.execute.assert_not_called()
