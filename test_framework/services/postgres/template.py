"""Build a template database: all steps under a private name, then sealed and renamed in one transaction."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import replace

import asyncpg

from test_framework.endpoints import PostgresEndpoint
from test_framework.services.base import BuildStep, FixtureFile, SeedRequest
from test_framework.services.postgres import loading
from test_framework.services.postgres.client import BUILD_PREFIX, OLD_PREFIX, connect, quote_identifier
from test_framework.services.postgres.control import (
    TEMPLATE_PREFIX,
    Record,
    advisory_key,
    read_record,
    write_record,
)
from test_framework.services.postgres.databases import (
    Connection,
    copy_strategy,
    drop_database,
    drop_quietly,
    empty_database,
    private_name,
)
from test_framework.waiting import Deadline

__all__ = ["build_template", "drop_unused_templates", "is_built"]

# Set before the first file, so that any of them may set another one.
SEARCH_PATH = "auth, backend, analytics, public"

_TEMPLATE = re.compile(rf"{TEMPLATE_PREFIX}[0-9a-f]{{12}}")
_OWNED_SEQUENCES = """
SELECT format('%I.%I', sn.nspname, s.relname) AS sequence, format('%I.%I', tn.nspname, t.relname) AS table,
       quote_ident(a.attname) AS column
FROM pg_depend d
JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S'
JOIN pg_namespace sn ON sn.oid = s.relnamespace
JOIN pg_class t ON t.oid = d.refobjid
JOIN pg_namespace tn ON tn.oid = t.relnamespace
JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid
WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
  AND a.atttypid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype)
"""
_TABLES = """
SELECT n.nspname AS schema, c.relname AS table FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_'
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
ORDER BY 1, 2
"""


async def is_built(control: Connection, template: str) -> bool:
    """A template gets its name when it is complete; nobody needs to connect to it to see."""
    found = await control.fetchval(
        "SELECT datistemplate AND NOT datallowconn FROM pg_database WHERE datname = $1", template
    )
    return bool(found)


async def build_template(
    control: Connection, endpoint: PostgresEndpoint, request: SeedRequest, template: str, deadline: Deadline
) -> None:
    """Build ``request`` and give it the name ``template``, in place of an older one if there is one.

    Raises:
        SeedError: a step failed. Nothing of it is left.
    """
    name = private_name(BUILD_PREFIX)
    try:
        await control.execute(f"CREATE DATABASE {quote_identifier(name)}{copy_strategy(control)}")
        await control.execute(f"ALTER DATABASE {quote_identifier(name)} SET search_path = {SEARCH_PATH}")
        counts = await _run_steps(replace(endpoint, database=name), request, deadline)
        await empty_database(control, name, deadline)
        await _publish(control, name, template, request, counts)
    except BaseException:
        await drop_quietly(control, name, deadline)
        raise


async def _run_steps(target: PostgresEndpoint, request: SeedRequest, deadline: Deadline) -> Mapping[str, int]:
    async with connect(target, timeout=deadline.remaining, application="seeder") as connection:
        for step in request.steps:
            started = time.perf_counter()
            rows = await _run_step(connection, target, step, deadline)
            request.progress(step.name, rows, time.perf_counter() - started)
        await connection.execute("DISCARD ALL")
        await _advance_sequences(connection)
        return await _count_and_analyze(connection)


async def _run_step(
    connection: Connection, target: PostgresEndpoint, step: FixtureFile | BuildStep, deadline: Deadline
) -> int:
    if isinstance(step, BuildStep):
        await step.run(target.dsn, deadline.remaining)
        return 0
    await connection.execute("DISCARD ALL")  # what one script SETs is not the next one's business
    return await loading.load(connection, step)


async def _publish(
    control: Connection, name: str, template: str, request: SeedRequest, counts: Mapping[str, int]
) -> None:
    private, public = quote_identifier(name), quote_identifier(template)
    previous = private_name(OLD_PREFIX)
    async with control.transaction():
        now = await control.fetchval("SELECT extract(epoch FROM now())::float8")
        await write_record(control, name, Record(request.state(loaded_at=now, counts=counts), template))
        await control.execute(f"ALTER DATABASE {private} WITH ALLOW_CONNECTIONS false IS_TEMPLATE true")
        if await control.fetchval("SELECT count(*) FROM pg_database WHERE datname = $1", template):
            await control.execute(f"ALTER DATABASE {public} RENAME TO {quote_identifier(previous)}")
        await control.execute(f"ALTER DATABASE {private} RENAME TO {public}")


async def _advance_sequences(connection: Connection) -> None:
    """Rows loaded with their numbers leave the sequence behind; the next INSERT would collide with them."""
    for row in await connection.fetch(_OWNED_SEQUENCES):
        await connection.execute(
            f"SELECT setval($1::regclass, highest) FROM (SELECT max({row['column']}) AS highest FROM {row['table']}) t"
            " WHERE highest > coalesce(pg_sequence_last_value($1::regclass), 0)",
            row["sequence"],
        )


async def _count_and_analyze(connection: Connection) -> dict[str, int]:
    """Rows by table. Clones inherit the planner's figures, which nobody else would gather: autovacuum is off."""
    counts = {}
    for row in await connection.fetch(_TABLES):
        name = f"{quote_identifier(row['schema'])}.{quote_identifier(row['table'])}"
        await connection.execute(f"ANALYZE {name}")
        counts[f"{row['schema']}.{row['table']}"] = await connection.fetchval(f"SELECT count(*) FROM {name}")
    return counts


async def drop_unused_templates(control: Connection, deadline: Deadline) -> None:
    """Drop the templates that no working database names and no session holds a lock on.

    A clone that is being made right now holds a lock of the server's own on its template, so dropping waits for it,
    shortly, and otherwise leaves it to the next run.
    """
    for template in await _unused_templates(control):
        key = advisory_key(f"template:{template}")
        if not await control.fetchval("SELECT pg_try_advisory_lock($1)", key):
            continue
        try:
            await control.execute("SET lock_timeout = '1s'")
            await drop_database(control, template, deadline)
        except (asyncpg.LockNotAvailableError, asyncpg.ObjectInUseError, asyncpg.InsufficientPrivilegeError):
            pass
        finally:
            await control.execute("RESET lock_timeout")
            await control.execute("SELECT pg_advisory_unlock($1)", key)


async def _unused_templates(control: Connection) -> list[str]:
    names = [row["datname"] for row in await control.fetch("SELECT datname FROM pg_database")]
    templates = {name for name in names if _TEMPLATE.fullmatch(name)}
    records = [await read_record(control, name) for name in names if name not in templates]
    return sorted(templates - {record.template for record in records if record})
