"""The manager of all services."""

import asyncio

import asyncpg
import pytest

from test_framework.real_services import get_real_services

pytestmark = pytest.mark.asyncio

COUNT = "SELECT count(*) FROM users"


async def test_all_services_are_available(real_services):
    report = await real_services.ensure_all_services_available()
    assert report.healthy


async def test_connections_are_asyncpgs_own_and_see_what_others_committed(real_services):
    async with real_services.postgres.connection() as one, real_services.postgres.connection() as other:
        assert isinstance(one, asyncpg.Connection)
        before = await other.fetchval(COUNT)
        await one.execute("INSERT INTO users (email) VALUES ('mine@example.com')")
        assert await other.fetchval(COUNT) == before + 1
    assert real_services.postgres.dsn.startswith("postgresql://")


async def test_everything_is_shared_with_the_other_fixtures(
    real_services, real_postgres, real_redis, real_clickhouse, test_user, postgres_dsn
):
    async with real_services.postgres.connection() as connection:
        assert await connection.fetchval("SELECT id FROM users WHERE email = $1", test_user["email"]) == test_user["id"]
    assert await real_postgres.fetchval("SELECT count(*) FROM users WHERE email = $1", test_user["email"]) == 1
    assert real_services.redis is real_redis
    assert real_services.clickhouse.database == real_clickhouse.database
    assert real_services.postgres.dsn == postgres_dsn


async def test_it_starts_from_the_seed_and_goes_back_to_it(real_services, real_clickhouse):
    async with real_services.postgres.connection() as connection:
        users = await connection.fetchval(COUNT)
        await connection.execute("TRUNCATE users CASCADE")
    keys = await real_services.redis.dbsize()
    assert users == 60
    assert keys > 0
    await real_services.redis.flushdb()
    await real_clickhouse.execute("TRUNCATE TABLE user_events")
    await real_services.reset_all_data()
    async with real_services.postgres.connection() as connection:
        assert await connection.fetchval(COUNT) == users
    assert await real_services.redis.dbsize() == keys
    assert await real_clickhouse.execute("SELECT count() FROM user_events") == [(120000,)]


@pytest.mark.postgres_isolation("transaction")
async def test_in_a_transaction_there_is_one_connection_and_a_reset_undoes_it(real_services, real_postgres):
    async with real_services.postgres.connection() as connection:
        await connection.execute("DELETE FROM backend.messages")
    assert await real_postgres.fetchval("SELECT count(*) FROM messages") == 0
    await real_services.reset_all_data()
    assert await real_postgres.fetchval("SELECT count(*) FROM messages") > 0


async def test_by_import_it_is_the_running_tests_own(real_services, real_redis):
    assert get_real_services() is real_services


async def test_by_import_it_shares_with_the_fixtures_of_a_test_that_does_not_take_it(real_postgres, test_user):
    async with get_real_services().postgres.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM users WHERE email = $1", test_user["email"]) == 1


async def test_what_is_wrong_is_said_for_each_service_within_one_deadline(real_services):
    from dataclasses import replace

    from test_framework.endpoints import Endpoints, RedisEndpoint
    from test_framework.errors import ServiceUnavailable

    good = real_services.config.endpoints
    bad = Endpoints(postgres=good.postgres, redis=RedisEndpoint(host="127.0.0.1", port=1), clickhouse=good.clickhouse)
    real_services.config = replace(real_services.config, endpoints=bad)
    async with asyncio.timeout(20):
        with pytest.raises(ServiceUnavailable) as caught:
            await real_services.ensure_all_services_available(timeout=3)
    text = str(caught.value)
    assert "redis at 127.0.0.1:1: " in text
    assert "postgres at " in text
    assert "clickhouse at " in text
    assert "make test-up" in text
