"""Every resource by its address, with the drivers that people use, from plain functions and from coroutines."""

import asyncpg
import clickhouse_connect
import psycopg
import pytest
import redis
import sqlalchemy
from sqlalchemy.ext.asyncio import create_async_engine

INSERT = "INSERT INTO users (email) VALUES ('mine@example.com')"
COUNT = "SELECT count(*) FROM users WHERE email = 'mine@example.com'"


@pytest.mark.parametrize("again", range(2))
def test_psycopg(postgres_dsn, again):
    with psycopg.connect(postgres_dsn) as connection:
        assert connection.execute(COUNT).fetchone() == (0,)
        connection.execute(INSERT)
    with psycopg.connect(postgres_dsn) as connection:
        assert connection.execute(COUNT).fetchone() == (1,)


@pytest.mark.asyncio
async def test_psycopg_async(postgres_dsn):
    async with await psycopg.AsyncConnection.connect(postgres_dsn) as connection:
        await connection.execute(INSERT)
        assert await (await connection.execute(COUNT)).fetchone() == (1,)


@pytest.mark.asyncio
async def test_asyncpg(postgres_dsn):
    async with asyncpg.create_pool(postgres_dsn, min_size=1, max_size=3) as pool:
        await pool.execute(INSERT)
        assert await pool.fetchval(COUNT) == 1


def test_sqlalchemy(isolated_external_postgres):
    engine = sqlalchemy.create_engine(isolated_external_postgres.sqlalchemy_url("psycopg"))
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text(INSERT))
    with engine.connect() as connection:
        assert connection.scalar(sqlalchemy.text(COUNT)) == 1
    engine.dispose()


@pytest.mark.asyncio
async def test_sqlalchemy_async(isolated_external_postgres):
    engine = create_async_engine(isolated_external_postgres.sqlalchemy_url("asyncpg"))
    async with engine.begin() as connection:
        await connection.execute(sqlalchemy.text(INSERT))
    async with engine.connect() as connection:
        assert await connection.scalar(sqlalchemy.text(COUNT)) == 1
    await engine.dispose()


@pytest.mark.parametrize("again", range(2))
def test_redis_sync(redis_url, external_redis_config, again):
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        assert client.dbsize() == 0
        client.set("k", "v")
    with redis.Redis(**external_redis_config) as client:
        assert client.get("k") == b"v"


@pytest.mark.parametrize("again", range(2))
def test_clickhouse_connect(clickhouse_url, again):
    client = clickhouse_connect.get_client(dsn=clickhouse_url)
    try:
        assert client.query("SELECT count() FROM user_events WHERE event_type = 'mine'").result_rows == [(0,)]
        client.insert("user_events", [["mine"]], column_names=["event_type"])
        assert client.query("SELECT count() FROM user_events WHERE event_type = 'mine'").result_rows == [(1,)]
    finally:
        client.close()


def test_the_parts_of_the_address_are_there_too(isolated_external_postgres):
    own = isolated_external_postgres
    parts = {"host": own.host, "port": own.port, "user": own.user, "password": own.password, "dbname": own.name}
    with psycopg.connect(**parts) as connection:
        assert connection.info.dbname == own.name == own.database
    assert own.name.startswith("apes_test_")
