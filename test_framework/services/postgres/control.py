"""What this package notes in a PostgreSQL server, and the names and locks it uses there.

* The **control database** ``tf_control`` is where sessions meet. Its comment is the stack's identity. All our advisory
  locks are taken in it, since such locks hold per database.
* The **record of a seed** is the comment of the database that holds it. Comments of databases can be read from any
  other one, follow a rename, are not copied to clones, and change in the same transaction as the rename.
* Nothing with the prefix ``tf_build_`` or ``tf_old_`` outlives the seeding lock: whoever holds it may drop them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg

from test_framework.endpoints import PostgresEndpoint
from test_framework.errors import ServiceUnavailable, StackBusy
from test_framework.services.base import MARK, SeedState
from test_framework.services.postgres.client import (
    CONTROL_DATABASE,
    MAINTENANCE_DATABASE,
    connect,
    quote_identifier,
    quote_literal,
)
from test_framework.services.postgres.databases import Connection, Session, copy_strategy
from test_framework.waiting import Deadline, wait_until

__all__ = [
    "CONTROL_DATABASE",
    "TEMPLATE_PREFIX",
    "Record",
    "advisory_key",
    "note_stack_id",
    "open_control",
    "read_record",
    "read_stack_id",
    "seed_lock",
    "template_name",
    "write_record",
]

TEMPLATE_PREFIX = "tf_template_"


@dataclass(frozen=True)
class Record:
    """What a database of ours holds, and the template that it, or its next clone, comes from."""

    state: SeedState
    template: str


def advisory_key(purpose: str) -> int:
    """The number of an advisory lock. Sessions that use a template hold ``template:<name>`` shared; it then stays."""
    digest = hashlib.sha256(f"{MARK}:{purpose}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def template_name(checksum: str, user: str) -> str:
    """The template for a seed. The role is part of it, because it owns what is inside."""
    return TEMPLATE_PREFIX + hashlib.sha256(f"{checksum}\0{user}".encode()).hexdigest()[:12]


@asynccontextmanager
async def open_control(endpoint: PostgresEndpoint, timeout: float, *, application: str) -> AsyncIterator[Connection]:
    """A connection to the control database, which is made when it is not there."""
    opened = connect(endpoint, database=CONTROL_DATABASE, timeout=timeout, application=application)
    try:
        connection = await opened.__aenter__()
    except asyncpg.InvalidCatalogNameError:
        await _create_control(endpoint, timeout)
        opened = connect(endpoint, database=CONTROL_DATABASE, timeout=timeout, application=application)
        connection = await opened.__aenter__()
    try:
        yield connection
    finally:
        await opened.__aexit__(None, None, None)


async def _create_control(endpoint: PostgresEndpoint, timeout: float) -> None:
    create = f"CREATE DATABASE {quote_identifier(CONTROL_DATABASE)} TEMPLATE template0"
    try:
        async with connect(endpoint, database=MAINTENANCE_DATABASE, timeout=timeout) as connection:
            await connection.execute(create + copy_strategy(connection))
    except (asyncpg.DuplicateDatabaseError, asyncpg.UniqueViolationError):
        return  # somebody else was faster
    except asyncpg.InsufficientPrivilegeError as error:
        raise ServiceUnavailable(
            f"the role {endpoint.user} may not create databases",
            service="test-postgres",
            where=endpoint.address,
            cause=str(error),
            fix=f"as a superuser: ALTER ROLE {quote_identifier(endpoint.user)} CREATEDB",
        ) from error


@asynccontextmanager
async def seed_lock(
    endpoint: PostgresEndpoint, deadline: Deadline, waiting: Callable[[str], None] = lambda _: None
) -> AsyncIterator[None]:
    """Hold the lock under which one process at a time seeds this stack. The server frees it when that process dies.

    Args:
        waiting: told who holds it, when it is not free at once.

    Raises:
        StackBusy: ``deadline`` passed; the message names the holder.
    """
    key = advisory_key("seed")
    async with open_control(endpoint, deadline.seconds, application="seeder") as connection:
        told = False

        async def taken() -> bool:
            nonlocal told
            got: bool = await connection.fetchval("SELECT pg_try_advisory_lock($1)", key)
            if not got and not told:
                waiting(await _holder(connection, key))
                told = True
            return got

        if not await wait_until(taken, deadline):
            raise StackBusy(
                f"another seeder held the stack for {deadline.seconds:g} s",
                where=endpoint.address,
                cause=await _holder(connection, key),
                fix="wait for it, or end it if it hangs",
            )
        yield


async def _holder(connection: Connection, key: int) -> str:
    row = await connection.fetchrow(
        "SELECT a.pid, a.application_name, coalesce(host(a.client_addr), 'local') AS client FROM pg_locks l"
        " JOIN pg_stat_activity a USING (pid) WHERE l.locktype = 'advisory' AND l.granted"
        " AND (l.classid::bigint << 32 | l.objid::bigint) = $1 AND l.database = ("
        " SELECT oid FROM pg_database WHERE datname = current_database())",
        key,
    )
    return str(Session(row["pid"], row["application_name"], row["client"])) if row else "it has just ended"


async def read_record(connection: Connection, database: str) -> Record | None:
    """What we noted about ``database``; ``None`` when it is absent or not ours."""
    row = await connection.fetchrow(
        "SELECT shobj_description(oid, 'pg_database') AS note FROM pg_database WHERE datname = $1", database
    )
    state = SeedState.from_json(row["note"], "") if row else None
    return Record(state, str(json.loads(row["note"]).get("template"))) if row and state else None


async def write_record(connection: Connection, database: str, record: Record) -> None:
    values = {**record.state.as_dict(), "stack_id": None, "template": record.template}
    note = json.dumps(values, ensure_ascii=False)
    await connection.execute(f"COMMENT ON DATABASE {quote_identifier(database)} IS {quote_literal(note)}")


async def read_stack_id(connection: Connection) -> str:
    """The stack's identity; empty when nobody gave it one."""
    note = await connection.fetchval(
        "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = $1", CONTROL_DATABASE
    )
    return str(note or "")


async def note_stack_id(connection: Connection, stack_id: str) -> None:
    await connection.execute(f"COMMENT ON DATABASE {quote_identifier(CONTROL_DATABASE)} IS {quote_literal(stack_id)}")
