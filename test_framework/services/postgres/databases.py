"""Databases as a whole: who is in one, making one as a copy of another, dropping one without waiting in vain."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import asyncpg

from test_framework.services.postgres.client import quote_identifier, quote_literal
from test_framework.waiting import Deadline, wait_until

__all__ = [
    "Connection",
    "Session",
    "clone_database",
    "copy_strategy",
    "drop_database",
    "drop_quietly",
    "empty_database",
    "private_name",
    "sessions_in",
]

Connection: TypeAlias = "asyncpg.Connection[Any]"

# Settings that are lists of names: the catalog holds them quoted already, quoting them again would make one name.
_LISTS = {"search_path", "temp_tablespaces", "local_preload_libraries", "session_preload_libraries"}
_SETTINGS = """
SELECT unnest(setconfig) AS setting FROM pg_db_role_setting
WHERE setrole = 0 AND setdatabase = (SELECT oid FROM pg_database WHERE datname = $1)
"""


@dataclass(frozen=True)
class Session:
    """Somebody connected to a database."""

    pid: int
    application: str
    client: str

    def __str__(self) -> str:
        return f"{self.application or 'unnamed'} (pid {self.pid}, {self.client})"


def private_name(prefix: str) -> str:
    """A name that nobody else has."""
    return prefix + secrets.token_hex(8)


def copy_strategy(connection: Connection) -> str:
    """Copying files is the fastest by far; servers before 15 know nothing else and have no word for it."""
    return " STRATEGY FILE_COPY" if connection.get_server_version().major >= 15 else ""


async def clone_database(connection: Connection, template: str, name: str) -> None:
    """Make ``name`` a copy of ``template``, its settings (``search_path``) included, which the server does not copy.

    Raises the driver's errors; ``ObjectInUseError`` after 5 s when somebody is connected to ``template``.
    """
    target = quote_identifier(name)
    await connection.execute(
        f"CREATE DATABASE {target} TEMPLATE {quote_identifier(template)}{copy_strategy(connection)}"
    )
    for row in await connection.fetch(_SETTINGS, template):
        key, _, value = row["setting"].partition("=")
        text = value if key.lower() in _LISTS else quote_literal(value)
        await connection.execute(f"ALTER DATABASE {target} SET {quote_identifier(key)} = {text}")


async def sessions_in(connection: Connection, database: str) -> Sequence[Session]:
    """Everybody connected to ``database`` but ``connection`` itself."""
    rows = await connection.fetch(
        "SELECT pid, application_name, coalesce(host(client_addr), 'local') AS client FROM pg_stat_activity"
        " WHERE datname = $1 AND pid <> pg_backend_pid() ORDER BY pid",
        database,
    )
    return [Session(row["pid"], row["application_name"], row["client"]) for row in rows]


async def empty_database(connection: Connection, database: str, deadline: Deadline) -> None:
    """End every session in ``database`` and wait until the server has forgotten them.

    Dropping or renaming it before that makes the server sleep in steps of 100 ms.
    """

    async def nobody() -> bool:
        rows = await connection.fetch(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()",
            database,
        )
        return not rows

    await wait_until(nobody, deadline, interval=0.002)


async def drop_database(connection: Connection, database: str, deadline: Deadline) -> None:
    """Drop ``database`` together with the sessions in it; harmless when it is gone."""
    await empty_database(connection, database, deadline)
    name = quote_identifier(database)
    sealed = await connection.fetchval("SELECT datistemplate FROM pg_database WHERE datname = $1", database)
    if sealed:
        await connection.execute(f"ALTER DATABASE {name} IS_TEMPLATE false")
    force = " WITH (FORCE)" if connection.get_server_version().major >= 13 else ""
    await connection.execute(f"DROP DATABASE IF EXISTS {name}{force}")


async def drop_quietly(connection: Connection, database: str, deadline: Deadline) -> None:
    """The same where something else has failed already: what is left is found by the next run."""
    try:
        async with asyncio.timeout(5.0):
            await drop_database(connection, database, deadline)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        pass
