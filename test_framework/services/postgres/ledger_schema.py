"""The tables of the ledger in the control database, and making them once whoever comes first."""

from __future__ import annotations

import asyncpg

from test_framework.errors import ServiceUnavailable
from test_framework.services.postgres.control import advisory_key
from test_framework.services.postgres.databases import Connection

__all__ = ["SCHEMA", "VERSION", "ensure_schema", "has_schema"]

SCHEMA = "isolation"
# Raised when a table changes its meaning: an older client then refuses instead of misreading.
VERSION = 1

_TABLES = f"""
CREATE SCHEMA {SCHEMA};
CREATE TABLE {SCHEMA}.version (version integer NOT NULL);
INSERT INTO {SCHEMA}.version VALUES ({VERSION});
CREATE TABLE {SCHEMA}.sessions (
    id         bigint      PRIMARY KEY,  -- also the number of the advisory lock that says it lives
    run_id     text        NOT NULL,
    worker_id  text        NOT NULL,
    host       text        NOT NULL,
    pid        integer     NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE {SCHEMA}.namespaces (
    service    text        NOT NULL,
    name       text        NOT NULL,
    template   text        NOT NULL,
    worker_id  text        NOT NULL,
    state      text        NOT NULL CHECK (state IN ('creating', 'ready', 'reserved', 'leased', 'kept', 'garbage')),
    session_id bigint      REFERENCES {SCHEMA}.sessions (id),
    since      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (service, name),
    CHECK ((session_id IS NULL) = (state IN ('ready', 'kept', 'garbage')))
);
CREATE INDEX ON {SCHEMA}.namespaces (session_id);
CREATE VIEW public.active_leases AS
    SELECT n.service, n.name, n.worker_id, s.run_id, n.since
    FROM {SCHEMA}.namespaces n JOIN {SCHEMA}.sessions s ON s.id = n.session_id WHERE n.state = 'leased';
"""


async def ensure_schema(connection: Connection) -> None:
    """Make the ledger's tables if they are not there.

    Raises:
        ServiceUnavailable: they are there and another version of this package made them.
    """
    if await has_schema(connection):
        return
    # Before the transaction: one that begins while it waits would not see what was made meanwhile.
    await connection.execute("SELECT pg_advisory_lock($1)", advisory_key("ledger"))
    try:
        if not await has_schema(connection):
            async with connection.transaction():
                await connection.execute(_TABLES)
    finally:
        await connection.execute("SELECT pg_advisory_unlock($1)", advisory_key("ledger"))


async def has_schema(connection: Connection) -> bool:
    """Whether the ledger's tables are there.

    Raises:
        ServiceUnavailable: they are, and another version of this package made them.
    """
    try:
        version = await _version(connection)
    except asyncpg.InsufficientPrivilegeError as error:
        raise await _foreign(connection, error) from error
    if version not in (None, VERSION):
        raise ServiceUnavailable(
            f"the stack's ledger has version {version}, this client knows version {VERSION}",
            service="test-postgres",
            fix="use the same version of this package everywhere, or start the stack anew: make test-down test-up",
        )
    return version is not None


async def _foreign(connection: Connection, error: asyncpg.PostgresError) -> ServiceUnavailable:
    owner, user = await connection.fetchrow(
        "SELECT pg_get_userbyid(nspowner), current_user FROM pg_namespace WHERE nspname = $1", SCHEMA
    ) or ("nobody", "nobody")
    return ServiceUnavailable(
        f"the role {user} may not use the stack's ledger, which the role {owner} made",
        service="test-postgres",
        cause=str(error),
        fix=f"let everybody who shares this stack use one role: TEST_POSTGRES_USER={owner}",
    )


async def _version(connection: Connection) -> int | None:
    if await connection.fetchval("SELECT to_regclass($1)::text", f"{SCHEMA}.version") is None:
        return None
    version: int | None = await connection.fetchval(f"SELECT version FROM {SCHEMA}.version")
    return version
