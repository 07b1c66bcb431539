"""Make the working database hold a seed: its template if it is missing, a clone of that, and a swap of names.

Everything is made under a private name and becomes visible by a rename, which is atomic: whoever is killed in
between leaves databases that the next run drops, and never a half one under a name that anybody uses.
"""

from __future__ import annotations

from dataclasses import replace

import asyncpg

from test_framework.endpoints import PostgresEndpoint
from test_framework.errors import SettingsError, StackBusy
from test_framework.services.base import SeedOutcome, SeedRequest
from test_framework.services.postgres.client import (
    BUILD_PREFIX,
    CONTROL_DATABASE,
    LEFTOVERS,
    MAINTENANCE_DATABASE,
    OLD_PREFIX,
    ask,
    connect,
    quote_identifier,
)
from test_framework.services.postgres.control import (
    Record,
    note_stack_id,
    open_control,
    read_record,
    read_stack_id,
    template_name,
    write_record,
)
from test_framework.services.postgres.databases import (
    Connection,
    clone_database,
    drop_database,
    drop_quietly,
    empty_database,
    private_name,
    sessions_in,
)
from test_framework.services.postgres.template import build_template, drop_unused_templates, is_built
from test_framework.waiting import Deadline, wait_until

__all__ = ["seed"]

# A health check, or a client that is just leaving, is no reason to refuse.
_GRACE = 2.0
_RESERVED = {MAINTENANCE_DATABASE, CONTROL_DATABASE, "template0", "template1"}


async def seed(endpoint: PostgresEndpoint, request: SeedRequest, timeout: float) -> SeedOutcome:
    """Make the working database hold ``request``, and its template exist. Call it under ``control.seed_lock``.

    Raises:
        SeedError: a file cannot be loaded. Template and working database are as before.
        SettingsError: the endpoint names a database that is the server's or somebody else's.
        StackBusy: sessions are connected to the working database, and ``request.force`` is not set.
        ServiceUnavailable: the server is in the way.
    """

    async def work() -> SeedOutcome:
        async with open_control(endpoint, timeout, application="seeder") as control:
            return await _seed(control, endpoint, request, Deadline.after(timeout))

    return await ask(endpoint, timeout, work)


async def _seed(
    control: Connection, endpoint: PostgresEndpoint, request: SeedRequest, deadline: Deadline
) -> SeedOutcome:
    template = template_name(request.checksum, endpoint.user)
    record = await read_record(control, endpoint.database)
    built = await is_built(control, template)
    await _sweep(control, deadline)
    if built and record is not None and record.template == template and not request.force:
        if await read_stack_id(control) != request.stack_id:
            await note_stack_id(control, request.stack_id)
        return SeedOutcome(state=replace(record.state, stack_id=request.stack_id), loaded=False)
    await _refuse_foreign(control, endpoint, deadline)
    await _refuse_users(control, endpoint.database, request, deadline)
    if request.force or not built:
        await build_template(control, endpoint, request, template, deadline)
    record = await _renew(control, endpoint.database, template, request, deadline)
    await note_stack_id(control, request.stack_id)
    await drop_unused_templates(control, deadline)
    return SeedOutcome(state=replace(record.state, stack_id=request.stack_id), loaded=True)


async def _refuse_foreign(control: Connection, endpoint: PostgresEndpoint, deadline: Deadline) -> None:
    """What we did not make and what is not empty is never replaced, not even by force."""
    name = endpoint.database
    cause = None
    if name in _RESERVED:
        cause = "the server or this package needs it for itself"
    elif await _exists(control, name) and await read_record(control, name) is None:
        async with connect(endpoint, timeout=deadline.remaining, application="seeder") as connection:
            tables = await connection.fetchval(_USER_RELATIONS)
        cause = f"it holds {tables} tables or views and was not seeded by this package" if tables else None
    if cause:
        raise SettingsError(
            f"the database {name!r} is not ours to replace",
            where=endpoint.address,
            cause=cause,
            fix="name another one in TEST_POSTGRES_DB, or drop it yourself if nobody needs it",
        )


_USER_RELATIONS = """
SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
"""


async def _exists(control: Connection, name: str) -> bool:
    return bool(await control.fetchval("SELECT count(*) FROM pg_database WHERE datname = $1", name))


async def _refuse_users(control: Connection, name: str, request: SeedRequest, deadline: Deadline) -> None:
    """Whoever is connected loses the connection by the swap: not without being named, or forced."""
    if request.force:
        await empty_database(control, name, deadline)
        return

    async def nobody() -> bool:
        return not await sessions_in(control, name)

    if not await wait_until(nobody, Deadline.after(min(_GRACE, deadline.remaining)), interval=0.02):
        raise await _busy(control, name)


async def _busy(control: Connection, name: str) -> StackBusy:
    sessions = await sessions_in(control, name)
    return StackBusy(
        f"the database {name!r} is in use, so it cannot be seeded anew",
        cause=f"connected: {', '.join(map(str, sessions)) or 'somebody who has just left'}",
        fix="end them and try again, or seed by force, which ends them: test-framework seed --force",
    )


async def _sweep(control: Connection, deadline: Deadline) -> None:
    """Drop what a seeder that was killed left behind: we hold the lock, so nobody is at work on it."""
    for row in await control.fetch("SELECT datname FROM pg_database WHERE datname ~ $1", LEFTOVERS):
        await drop_database(control, row["datname"], deadline)


async def _renew(control: Connection, database: str, template: str, request: SeedRequest, deadline: Deadline) -> Record:
    """Put a fresh clone of ``template`` in the place of ``database``."""
    record = await read_record(control, template)
    assert record is not None  # it was written before the template got its name
    fresh, old = private_name(BUILD_PREFIX), private_name(OLD_PREFIX)
    try:
        await clone_database(control, template, fresh)
        await write_record(control, fresh, record)
        await _refuse_users(control, database, request, deadline)
        await _swap(control, database, fresh=fresh, old=old)
    except BaseException:
        await drop_quietly(control, fresh, deadline)
        raise
    await drop_database(control, old, deadline)
    return record


async def _swap(control: Connection, database: str, *, fresh: str, old: str) -> None:
    try:
        async with control.transaction():
            if await _exists(control, database):
                await control.execute(f"ALTER DATABASE {quote_identifier(database)} RENAME TO {quote_identifier(old)}")
            await control.execute(f"ALTER DATABASE {quote_identifier(fresh)} RENAME TO {quote_identifier(database)}")
    except asyncpg.ObjectInUseError as error:
        raise await _busy(control, database) from error
