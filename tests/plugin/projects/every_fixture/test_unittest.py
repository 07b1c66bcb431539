"""Classes of unittest: they take fixtures by an autouse fixture."""

import unittest

import asyncpg
import psycopg
import pytest


class TestPlain(unittest.TestCase):
    @pytest.fixture(autouse=True)
    def _services(self, postgres_dsn, test_user):
        self.dsn, self.user = postgres_dsn, test_user

    def test_the_user_is_there(self):
        with psycopg.connect(self.dsn) as connection:
            found = connection.execute("SELECT email FROM users WHERE id = %s", [self.user["id"]]).fetchone()
        self.assertEqual(found, ("test@example.com",))


class TestAsynchronous(unittest.IsolatedAsyncioTestCase):
    @pytest.fixture(autouse=True)
    def _services(self, real_postgres, real_redis):
        self.postgres, self.redis = real_postgres, real_redis

    async def test_statements_run_in_the_classes_own_loop(self):
        await self.postgres.execute("INSERT INTO users (email) VALUES ('mine@example.com')")
        with self.assertRaises(asyncpg.UniqueViolationError):
            await self.postgres.execute("INSERT INTO users (email) VALUES ('mine@example.com')")
        await self.redis.set("k", "v")
        self.assertEqual(await self.redis.get("k"), "v")

    async def test_nothing_is_left(self):
        self.assertEqual(await self.postgres.fetchval("SELECT count(*) FROM users WHERE email LIKE 'mine%'"), 0)
        self.assertEqual(await self.redis.dbsize(), 0)
