"""Servers that hang, crash, refuse or are full: a clear error within its time, and the next test is served."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import asyncpg
import psutil
import pytest

from test_framework.endpoints import ClickHouseEndpoint, PostgresEndpoint, RedisEndpoint, Secret
from test_framework.environment import Broker, Identity, IsolationOptions
from test_framework.errors import AuthenticationRefused, ServiceUnavailable
from test_framework.services.postgres.transaction import IsolatedConnection
from test_framework.services.reaping import reap
from test_framework.services.redis.client import RedisReplyError
from test_framework.services.redis.client import connect as connect_redis
from tests import servers
from tests.seeded_stack import Stack, seeded_stack
from tests.servers import data_directory, free_port, run_postgres

IMPATIENT = IsolationOptions(connection_timeout=1.0, statement_timeout=1.0, lease_timeout=2.0)


@pytest.fixture(scope="module")
def postgres(monkeypatch_module: pytest.MonkeyPatch) -> Iterator[tuple[PostgresEndpoint, Path]]:
    """A server of this module's own, which tests may stop, crash and fill."""
    settings = {**servers._POSTGRES_SETTINGS, "max_connections": "20", "max_prepared_transactions": "4"}
    monkeypatch_module.setattr(servers, "_POSTGRES_SETTINGS", settings)
    with data_directory("faulty-postgres") as directory, run_postgres(directory) as endpoint:
        yield endpoint, directory


@pytest.fixture(scope="module")
def monkeypatch_module() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def stack(
    postgres: tuple[PostgresEndpoint, Path], redis_server: RedisEndpoint, clickhouse_server: ClickHouseEndpoint
) -> Stack:
    return seeded_stack(postgres[0], redis_server, clickhouse_server)


@pytest.fixture
def broker(stack: Stack) -> Iterator[Broker]:
    made = Broker(stack.endpoints, Identity(run_id="a" * 16), options=IMPATIENT)
    yield made
    made.close()


def processes(directory: Path) -> list[psutil.Process]:
    """The server and its children."""
    postmaster = psutil.Process(int((directory / "data" / "postmaster.pid").read_text().split()[0]))
    return [postmaster, *postmaster.children(recursive=True)]


async def test_a_server_that_hangs_is_an_error_within_the_time_allowed(
    broker: Broker, postgres: tuple[PostgresEndpoint, Path]
) -> None:
    await broker.arelease(await broker.aacquire("postgres"))
    await asyncio.sleep(0.3)
    stopped = processes(postgres[1])
    for process in stopped:
        process.suspend()
    started = time.monotonic()
    try:
        with pytest.raises(ServiceUnavailable) as caught:
            for _ in range(8):  # what was made ready before is still to be had
                await broker.aacquire("postgres")
    finally:
        for process in stopped:
            process.resume()
    assert time.monotonic() - started < 30  # bounded, and not by anybody's patience
    assert "unresponsive" in str(caught.value) or "does not answer" in str(caught.value)
    assert await broker.aacquire("postgres", timeout=30)


async def test_a_crash_of_the_server_costs_the_tests_that_run_and_not_the_next(broker: Broker) -> None:
    lease = await broker.aacquire("postgres")
    assert isinstance(lease.endpoint, PostgresEndpoint)
    connection = await asyncpg.connect(lease.endpoint.dsn)
    witness = await asyncpg.connect(lease.endpoint.dsn)
    seen = asyncio.Event()
    witness.add_termination_listener(lambda _: seen.set())
    os.kill(await connection.fetchval("SELECT pg_backend_pid()"), signal.SIGKILL)
    connection.terminate()
    await seen.wait()  # the server has noticed, and ends every connection
    await broker.arelease(lease)
    again = await broker.aacquire("postgres", timeout=30)
    assert again.name != lease.name
    assert isinstance(again.endpoint, PostgresEndpoint)
    fresh = await IsolatedConnection.open(again.endpoint, timeout=10)
    assert await fresh.fetchval("SELECT count(*) FROM users") > 0
    await fresh.aclose()
    await asyncio.to_thread(broker.close)


async def test_a_database_that_was_written_to_before_a_crash_is_never_taken_for_untouched(
    broker: Broker, stack: Stack
) -> None:
    lease = await broker.aacquire("postgres", timeout=30)
    assert isinstance(lease.endpoint, PostgresEndpoint)
    connection = await asyncpg.connect(lease.endpoint.dsn)
    await connection.execute("INSERT INTO users (email) VALUES ('a@new.example')")
    os.kill(await connection.fetchval("SELECT pg_backend_pid()"), signal.SIGKILL)  # and with it all counters
    connection.terminate()
    await asyncio.sleep(1.0)
    await broker.arelease(lease)
    await asyncio.to_thread(broker.close)
    ready = await stack.sql("SELECT name FROM isolation.namespaces WHERE state = 'ready'")
    assert (lease.name,) not in ready


async def all_connections(stack: Stack) -> list[asyncpg.Connection[asyncpg.Record]]:
    """Every connection that is to be had."""
    hoard = []
    with contextlib.suppress(asyncpg.TooManyConnectionsError):
        while True:
            hoard.append(
                await asyncpg.connect(stack.endpoints.postgres.dsn, server_settings={"application_name": "greedy-app"})
            )
    return hoard


async def test_when_connections_are_exhausted_the_message_names_the_holders(broker: Broker, stack: Stack) -> None:
    await broker.arelease(await broker.aacquire("redis"))
    hoard = await all_connections(stack)
    try:
        with pytest.raises(ServiceUnavailable) as caught:
            await broker.aacquire("postgres")
        assert f"greedy-app in {stack.endpoints.postgres.database}: {len(hoard)}" in str(caught.value)
        other = Broker(stack.endpoints, Identity(run_id="b" * 16), options=IMPATIENT)
        with pytest.raises(ServiceUnavailable, match="POSTGRES_MAX_CONNECTIONS"):
            await other.aacquire("redis")
        await asyncio.to_thread(other.close)
    finally:
        for connection in hoard:
            await connection.close()
    assert await broker.aacquire("postgres", timeout=30)


async def test_a_reaper_waits_for_a_connection_where_all_are_taken_and_not_for_ever(
    broker: Broker, stack: Stack
) -> None:
    await broker.arelease(await broker.aacquire("redis"))  # so that there are books
    await stack.sql(
        "INSERT INTO isolation.sessions (id, run_id, worker_id, host, pid) VALUES (7, 'dead', 'gw9', 'x', 1)"
    )
    hoard = await all_connections(stack)
    try:
        with pytest.raises(ServiceUnavailable, match="POSTGRES_MAX_CONNECTIONS"):
            await reap(stack.endpoints, timeout=1.0)
        reaping = asyncio.create_task(reap(stack.endpoints, timeout=60.0))
        done, _ = await asyncio.wait([reaping], timeout=0.3)
        assert not done
        await hoard.pop().close()
        assert (await reaping).sessions == 1
    finally:
        for connection in hoard:
            await connection.close()


async def test_a_limit_of_connections_to_one_database_is_told_as_such(broker: Broker, stack: Stack) -> None:
    lease = await broker.aacquire("postgres", timeout=30)
    assert isinstance(lease.endpoint, PostgresEndpoint)
    await stack.sql(f"ALTER DATABASE {lease.name} CONNECTION LIMIT 0")
    with pytest.raises(ServiceUnavailable, match="too many connections for database"):
        await IsolatedConnection.open(lease.endpoint, timeout=5)
    await broker.arelease(lease)
    await asyncio.to_thread(broker.close)
    assert lease.name not in await stack.databases()


async def test_a_redis_that_is_full_refuses_writes_and_still_gives_clean_numbers(broker: Broker, stack: Stack) -> None:
    lease = await broker.aacquire("redis")
    assert isinstance(lease.endpoint, RedisEndpoint)
    async with connect_redis(stack.endpoints.redis) as admin:
        async with connect_redis(lease.endpoint) as client:
            await client.call("SET", "k", "v")
            await admin.call("CONFIG", "SET", "maxmemory", "1mb")
            with pytest.raises(RedisReplyError, match="OOM"):
                await client.call("SET", "k", "w")
        try:
            await broker.arelease(lease)
            again = await broker.aacquire("redis", timeout=10)
            other = await broker.aacquire("redis", timeout=10)
            assert again.name == lease.name
            for each in (again, other):
                assert isinstance(each.endpoint, RedisEndpoint)
                async with connect_redis(each.endpoint) as client:
                    assert await client.call("DBSIZE") == 0
        finally:
            await admin.call("CONFIG", "SET", "maxmemory", "0")


def listener(port: int) -> psutil.Process:
    """The process that listens on ``port``."""
    (pid,) = {each.pid for each in psutil.net_connections("tcp") if each.laddr.port == port and each.status == "LISTEN"}
    assert pid is not None
    return psutil.Process(pid)


@pytest.mark.parametrize("service", ["redis", "clickhouse"])
async def test_a_service_that_hangs_is_named_within_the_time_allowed_and_serves_again(
    broker: Broker, stack: Stack, service: str
) -> None:
    family = [listener(getattr(stack.endpoints, service).port)]
    family += family[0].children(recursive=True)
    for process in family:
        process.suspend()
    try:
        with pytest.raises(ServiceUnavailable) as caught:
            await broker.aacquire(service, timeout=2.0)
    finally:
        for process in family:
            process.resume()
    assert caught.value.service == f"test-{service}"
    assert "no answer" in str(caught.value) or "does not answer" in str(caught.value)
    patient = Broker(stack.endpoints, Identity(run_id="d" * 16))
    assert await patient.aacquire(service, timeout=30)
    await asyncio.to_thread(patient.close)


async def test_a_prepared_transaction_does_not_keep_its_database(broker: Broker, stack: Stack) -> None:
    lease = await broker.aacquire("postgres")
    assert isinstance(lease.endpoint, PostgresEndpoint)
    connection = await asyncpg.connect(lease.endpoint.dsn)
    await connection.execute("BEGIN; UPDATE users SET name = 'x'")
    await connection.execute("PREPARE TRANSACTION 'left behind'")
    await connection.close()
    await broker.arelease(lease)
    await asyncio.to_thread(broker.close)
    assert lease.name not in await stack.databases()
    assert await stack.sql("SELECT gid FROM pg_prepared_xacts") == []


@pytest.mark.parametrize("service", ["postgres", "redis", "clickhouse"])
async def test_a_service_that_nobody_answers_for_is_named(stack: Stack, service: str) -> None:
    endpoint = replace(getattr(stack.endpoints, service), port=free_port())
    broker = Broker(replace(stack.endpoints, **{service: endpoint}), Identity(run_id="c" * 16), options=IMPATIENT)
    with pytest.raises(ServiceUnavailable, match=f"{service} at .*{endpoint.port} is unreachable") as caught:
        await broker.aacquire(service)
    assert "make test-up" in str(caught.value)
    await asyncio.to_thread(broker.close)


WRONG = {"password": Secret("wrong-canary")}
STRANGER = {"user": "stranger"}


@pytest.mark.parametrize(
    ("service", "wrong", "setting"),
    [
        ("postgres", WRONG, "TEST_POSTGRES_PASSWORD"),
        ("postgres", STRANGER, "TEST_POSTGRES_USER"),
        ("postgres", {"user": "barred"}, "TEST_POSTGRES_USER"),
        ("redis", WRONG, "TEST_REDIS_PASSWORD"),
        ("redis", {"password": Secret("")}, "TEST_REDIS_PASSWORD"),
        ("clickhouse", WRONG, "TEST_CLICKHOUSE_PASSWORD"),
        ("clickhouse", STRANGER, "TEST_CLICKHOUSE_USER"),
    ],
)
async def test_wrong_credentials_are_refused_at_once_and_never_shown(
    stack: Stack, postgres: tuple[PostgresEndpoint, Path], service: str, wrong: dict[str, object], setting: str
) -> None:
    if wrong == {"user": "barred"}:  # who is not let in whatever the password
        access = postgres[1] / "data" / "pg_hba.conf"
        access.write_text("host all barred 127.0.0.1/32 reject\n" + access.read_text())
        await as_superuser(stack.endpoints.postgres, "SELECT pg_reload_conf()")
    endpoint = replace(getattr(stack.endpoints, service), **wrong)
    broker = Broker(replace(stack.endpoints, **{service: endpoint}), Identity(run_id="d" * 16), options=IMPATIENT)
    with pytest.raises(AuthenticationRefused, match=setting) as caught:
        await broker.aacquire(service)
    assert "canary" not in str(caught.value)
    await asyncio.to_thread(broker.close)


async def template_of(stack: Stack) -> str:
    ((name,),) = await stack.sql("SELECT datname FROM pg_database WHERE datname LIKE 'tf_template%'")
    return str(name)


async def test_a_template_that_is_gone_is_told_with_how_to_get_it_back(broker: Broker, stack: Stack) -> None:
    template = await template_of(stack)
    await stack.sql(f"ALTER DATABASE {template} RENAME TO away")
    try:
        with pytest.raises(ServiceUnavailable, match="make test-seed") as caught:
            await broker.aacquire("postgres")
        assert f"its template {template} is gone" in str(caught.value)
    finally:
        await stack.sql(f"ALTER DATABASE away RENAME TO {template}")
    assert await broker.aacquire("postgres", timeout=30)


async def test_who_sits_in_the_template_is_named(stack: Stack) -> None:
    template = await template_of(stack)
    await reap(stack.endpoints, pool=True, timeout=10)
    broker = Broker(stack.endpoints, Identity(run_id="a" * 16), options=IsolationOptions(pool_size=0))
    await broker.arelease(await broker.aacquire("postgres"))
    endpoint = replace(stack.endpoints.postgres, database=template)
    with pytest.raises(asyncpg.ObjectNotInPrerequisiteStateError):
        await asyncpg.connect(endpoint.dsn)  # it takes more than a connection to get there
    await stack.sql(f"ALTER DATABASE {template} ALLOW_CONNECTIONS true")
    sitter = await asyncpg.connect(endpoint.dsn, server_settings={"application_name": "sitter"})
    try:
        with pytest.raises(ServiceUnavailable, match=rf"sitter \(pid {sitter.get_server_pid()}, 127.0.0.1\)"):
            for _ in range(2):
                await broker.aacquire("postgres")
    finally:
        await sitter.close()
        await stack.sql(f"ALTER DATABASE {template} ALLOW_CONNECTIONS false")
        await asyncio.to_thread(broker.close)


async def as_superuser(endpoint: PostgresEndpoint, *statements: str) -> None:
    admin = replace(endpoint, user="postgres", password=Secret(servers.SUPERUSER_PASSWORD), database="postgres")
    connection = await asyncpg.connect(admin.dsn)
    for statement in statements:
        await connection.execute(statement)
    await connection.close()


async def test_a_role_that_may_not_create_databases_is_told_what_it_lacks(stack: Stack) -> None:
    await as_superuser(stack.endpoints.postgres, "ALTER ROLE test_user NOCREATEDB")
    identity = Identity(run_id="e" * 16, worker_id="gw77")
    broker = Broker(stack.endpoints, identity, options=replace(IMPATIENT, pool_size=0))
    try:
        await reap(stack.endpoints, pool=True, timeout=10)
        with pytest.raises(ServiceUnavailable, match='ALTER ROLE "test_user" CREATEDB'):
            await broker.aacquire("postgres")
    finally:
        await as_superuser(stack.endpoints.postgres, "ALTER ROLE test_user CREATEDB")
        await asyncio.to_thread(broker.close)


async def test_a_role_that_shares_a_stack_with_another_is_told_which_one_to_use(stack: Stack) -> None:
    await as_superuser(stack.endpoints.postgres, "CREATE ROLE humble LOGIN PASSWORD 'humble'")
    endpoint = replace(stack.endpoints.postgres, user="humble", password=Secret("humble"))
    broker = Broker(replace(stack.endpoints, postgres=endpoint), Identity(run_id="e" * 16), options=IMPATIENT)
    try:
        with pytest.raises(ServiceUnavailable, match="TEST_POSTGRES_USER=test_user"):
            await broker.aacquire("redis")
    finally:
        await asyncio.to_thread(broker.close)
        await as_superuser(stack.endpoints.postgres, "DROP ROLE humble")


async def test_a_ledger_of_another_version_is_refused_with_both_versions(stack: Stack) -> None:
    await stack.sql("UPDATE isolation.version SET version = 99")
    broker = Broker(stack.endpoints, Identity(run_id="f" * 16), options=IMPATIENT)
    try:
        with pytest.raises(ServiceUnavailable, match="version 99, this client knows version 1"):
            await broker.aacquire("redis")
    finally:
        await asyncio.to_thread(broker.close)
        await stack.sql("UPDATE isolation.version SET version = 1")
