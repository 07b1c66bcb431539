"""Orders and who may place them."""

from dataclasses import dataclass


class UnknownCustomer(Exception):
    pass


@dataclass
class Order:
    id: int
    customer: str
    total: int


class OrderRepository:
    def __init__(self, pool):
        self.pool = pool

    async def find(self, order_id):
        async with self.pool.acquire() as connection:
            row = await connection.fetchrow("SELECT id, customer, total FROM orders WHERE id = $1", order_id)
        return Order(**row) if row else None

    async def add(self, customer, total):
        async with self.pool.acquire() as connection:
            async with connection.transaction():
                await connection.execute("INSERT INTO orders (customer, total) VALUES ($1, $2)", customer, total)

    async def of_customer(self, customer):
        async with self.pool.acquire() as connection:
            rows = await connection.fetch("SELECT id, customer, total FROM orders WHERE customer = $1 ORDER BY id", customer)
        return [Order(**row) for row in rows]


async def place_order(db, customer, items):
    if not items:
        raise ValueError("an order needs items")
    known = await db.fetchval("SELECT EXISTS(SELECT 1 FROM customers WHERE name = $1)", customer)
    if not known:
        raise UnknownCustomer(customer)
    total = sum(price for _, price in items)
    await db.execute("INSERT INTO orders (customer, total) VALUES ($1, $2)", customer, total)
    return total
