"""Connections to PostgreSQL for administration and health, with the driver's errors translated once."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import asyncpg

from test_framework.endpoints import PostgresEndpoint
from test_framework.services.asking import ask_server, diagnose_socket, probe_server
from test_framework.services.base import Answer, Diagnosis, Health, Probe, SeedState

__all__ = ["MAINTENANCE_DATABASE", "ask", "connect", "diagnose", "probe", "quote_identifier", "quote_literal"]

T = TypeVar("T")

# Every cluster has it, nobody's data is in it, and connecting to it disturbs no copy or rename of ours.
MAINTENANCE_DATABASE = "postgres"
CONTROL_DATABASE = "tf_control"
APPLICATION = "test-framework"
BUILD_PREFIX = "tf_build_"
OLD_PREFIX = "tf_old_"
# What a seeder at work has for a moment, and a killed one left behind.
LEFTOVERS = f"^({BUILD_PREFIX}|{OLD_PREFIX})[0-9a-f]{{16}}$"

_REFUSED = (
    asyncpg.InvalidPasswordError,
    asyncpg.InvalidAuthorizationSpecificationError,
)
_FULL = (asyncpg.TooManyConnectionsError,)

_PROBE = """
SELECT current_setting('server_version') AS version,
       pg_size_bytes(current_setting('shared_memory_size', true)) AS memory,
       (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS connections,
       (SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = $1) AS seed,
       (SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = $2) AS stack,
       ARRAY(SELECT datname::text FROM pg_database WHERE datistemplate AND NOT datallowconn) AS templates,
       (SELECT count(*) FROM pg_database WHERE datname ~ $3) AS leftovers
"""


def quote_identifier(name: str) -> str:
    """``name`` as an SQL identifier, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'


def quote_literal(text: str) -> str:
    """``text`` as an SQL string, whatever is in it and whatever ``standard_conforming_strings`` says."""
    quoted = "'" + text.replace("'", "''") + "'"
    return " E" + quoted.replace("\\", "\\\\") if "\\" in text else quoted


@asynccontextmanager
async def connect(
    endpoint: PostgresEndpoint,
    *,
    database: str | None = None,
    timeout: float,
    query_timeout: float | None = None,
    application: str = "admin",
) -> AsyncIterator[asyncpg.Connection[Any]]:
    """A connection to ``database`` (``None``: the endpoint's own).

    ``timeout`` seconds to open it; per statement ``query_timeout``, or the same where that is ``None``.

    Raises the driver's own errors: use :func:`ask` around what is done with it.
    """
    connection = await asyncpg.connect(
        endpoint_dsn(endpoint),
        password=endpoint.password.reveal() or None,
        database=database or endpoint.database,
        timeout=timeout,
        command_timeout=timeout if query_timeout is None else query_timeout,
        statement_cache_size=0,  # a pooler in between would mix them up, and we ask everything once
        server_settings={"application_name": f"{APPLICATION}:{application}"},
    )
    try:
        yield connection
    finally:
        await close(connection)


async def close(connection: asyncpg.Connection[Any]) -> None:
    """Say goodbye politely but not for long: the server may be the thing that hangs."""
    try:
        await connection.close(timeout=1.0)
    except (TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        connection.terminate()


def endpoint_dsn(endpoint: PostgresEndpoint) -> str:
    """Host, port, user and TLS options as a URL without the password, which never enters a text that may be shown."""
    return endpoint.safe_dsn.replace(":***@", "@", 1)


async def ask(endpoint: PostgresEndpoint, timeout: float, question: Callable[[], Awaitable[T]]) -> T:
    """``await question()`` within ``timeout`` seconds.

    Raises:
        ServiceUnavailable: or ``AuthenticationRefused``, for every error of the driver.
    """
    return await ask_server("postgres", endpoint.address, timeout, question, diagnose)


def diagnose(error: BaseException) -> Diagnosis:
    """The driver's error in our words."""
    if isinstance(error, _REFUSED):
        return Diagnosis(
            health=Health.REFUSED,
            cause=str(error),
            fix="check TEST_POSTGRES_USER and TEST_POSTGRES_PASSWORD (environment, .env.test)",
        )
    if isinstance(error, _FULL):
        return Diagnosis(
            health=Health.FAILED,
            cause=str(error),
            fix="close what holds the connections (SELECT * FROM pg_stat_activity), or raise POSTGRES_MAX_CONNECTIONS",
        )
    if isinstance(error, asyncpg.InvalidCatalogNameError):
        return Diagnosis(health=Health.FAILED, cause=str(error), fix="seed the stack: make test-seed")
    if isinstance(error, asyncpg.CannotConnectNowError):
        return Diagnosis(health=Health.FAILED, cause=str(error), fix="wait: it is starting or stopping")
    if isinstance(error, asyncpg.PostgresError):
        return Diagnosis(health=Health.FAILED, cause=f"{error} (SQLSTATE {error.sqlstate})")
    return diagnose_socket(error) or Diagnosis(health=Health.FAILED, cause=f"{type(error).__name__}: {error}")


async def probe(endpoint: PostgresEndpoint, timeout: float) -> Probe:
    """Connect anew, which proves that the server accepts, and ask one question."""

    async def question() -> Answer:
        row = await _ask_anywhere(endpoint, timeout)
        return Answer(
            version=row["version"].split()[0],
            memory_bytes=row["memory"],
            connections=row["connections"],
            seed=_seed_of(row),
        )

    return await probe_server("postgres", endpoint.address, timeout, question, diagnose)


async def seed_state(endpoint: PostgresEndpoint, timeout: float) -> SeedState | None:
    """What the working database holds, or ``None``. One connection, one question."""
    return _seed_of(await ask(endpoint, timeout, lambda: _ask_anywhere(endpoint, timeout)))


async def _ask_anywhere(endpoint: PostgresEndpoint, timeout: float) -> asyncpg.Record:
    """The question needs no particular database, so one that this role may not enter stops nothing."""
    try:
        return await _ask_in(MAINTENANCE_DATABASE, endpoint, timeout)
    except (
        asyncpg.InvalidCatalogNameError,
        asyncpg.InsufficientPrivilegeError,
        asyncpg.InvalidAuthorizationSpecificationError,  # pg_hba.conf may name databases
    ):
        return await _ask_in(endpoint.database, endpoint, timeout)


async def _ask_in(database: str, endpoint: PostgresEndpoint, timeout: float) -> asyncpg.Record:
    async with connect(endpoint, database=database, timeout=timeout, application="probe") as connection:
        row: asyncpg.Record
        (row,) = await connection.fetch(_PROBE, endpoint.database, CONTROL_DATABASE, LEFTOVERS)
        return row


def _seed_of(row: asyncpg.Record) -> SeedState | None:
    """A seed whose template is lost is none: nothing could be cloned from it."""
    state = SeedState.from_json(row["seed"], row["stack"] or "", tidy=not row["leftovers"])
    return state if state and json.loads(row["seed"]).get("template") in row["templates"] else None
