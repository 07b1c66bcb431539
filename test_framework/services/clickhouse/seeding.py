"""Load the ClickHouse fixtures into a fresh database, and keep the old one aside until that worked.

Objects in ClickHouse name their database (materialised views do), so the new one is built under the name it keeps: the
old one steps aside as ``tf_old_<name>``. Whoever is killed in between leaves that name behind, and the next run
puts it back, or drops it if the new one was complete.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import time
from dataclasses import replace

from test_framework.endpoints import ClickHouseEndpoint
from test_framework.errors import FrameworkError, SettingsError
from test_framework.services.base import SeedOutcome, SeedRequest, SeedState
from test_framework.services.clickhouse import loading
from test_framework.services.clickhouse.client import (
    CONTROL_DATABASE,
    OLD_PREFIX,
    ClickHouseClient,
    ask,
    connect,
    escape_parameter,
    quote_identifier,
    read_seed,
)
from test_framework.waiting import Deadline

__all__ = ["seed"]

_RESERVED = {CONTROL_DATABASE, "default", "system", "information_schema", "INFORMATION_SCHEMA"}
_CONTROL = (
    f"CREATE DATABASE IF NOT EXISTS {CONTROL_DATABASE}",
    # An empty state says "being built": ours, and not to be relied on.
    f"""CREATE TABLE IF NOT EXISTS {CONTROL_DATABASE}.seeds (
        database_uuid UUID, state String, stack_id String, noted_at DateTime64(6) DEFAULT now64(6)
    ) ENGINE = MergeTree ORDER BY (database_uuid, noted_at)""",
)
# A dictionary depends on the table it reads, by its name: both go together, and come back together.
_WHOLE = {"check_table_dependencies": "0"}
_KNOWN = (
    f"SELECT count() FROM {CONTROL_DATABASE}.seeds WHERE database_uuid IN"
    " (SELECT uuid FROM system.databases WHERE name = {database:String})"
)
_NOTE = (
    f"INSERT INTO {CONTROL_DATABASE}.seeds (database_uuid, state, stack_id)"
    " SELECT uuid, {state:String}, {stack_id:String} FROM system.databases WHERE name = {database:String}"
)
_COUNTS = (
    "SELECT name, total_rows FROM system.tables WHERE database = {database:String} AND total_rows IS NOT NULL"
    " AND name NOT LIKE '.inner%' ORDER BY name"
)


async def seed(endpoint: ClickHouseEndpoint, request: SeedRequest, timeout: float) -> SeedOutcome:
    """Make the database hold ``request``. At most one caller at a time: ClickHouse has no locks to take.

    Raises:
        SeedError: a file cannot be loaded. The previous seed is in place again.
        SettingsError: the endpoint names a database that is the server's or somebody else's.
        ServiceUnavailable: the server is in the way.
    """
    deadline = Deadline.after(timeout)

    async def work() -> SeedOutcome:
        async with connect(endpoint, timeout=timeout) as client:
            found = await read_seed(client, endpoint.database)
            if found is not None and found.checksum == request.checksum and not request.force:
                await _repair(client, endpoint.database, OLD_PREFIX + endpoint.database)
                if found.stack_id != request.stack_id:
                    await _note(client, endpoint.database, replace(found, stack_id=request.stack_id))
                return SeedOutcome(state=replace(found, stack_id=request.stack_id), loaded=False)
            return await _renew(client, endpoint, request, deadline)

    return await ask(endpoint, timeout, work)


async def _renew(
    client: ClickHouseClient, endpoint: ClickHouseEndpoint, request: SeedRequest, deadline: Deadline
) -> SeedOutcome:
    name, old = endpoint.database, OLD_PREFIX + endpoint.database
    _refuse_reserved(endpoint)
    for statement in _CONTROL:
        await client.execute(statement)
    await _repair(client, name, old)
    await _refuse_foreign(client, endpoint)
    if await _exists(client, name):
        await _rename(client, name, old)
    try:
        state = await _build(client, name, request)
    except BaseException:
        await _roll_back(endpoint, name, old, deadline)
        raise
    await _drop(client, old)
    return SeedOutcome(state=state, loaded=True)


async def _build(client: ClickHouseClient, name: str, request: SeedRequest) -> SeedState:
    await client.execute(f"CREATE DATABASE {quote_identifier(name)}")
    await _note(client, name, None)
    session = f"test-framework-{secrets.token_hex(8)}"
    before: dict[str, int] = {}
    for file in request.files:
        started = time.perf_counter()
        await loading.load(client, file, database=name, session=session)
        counts = await _counts(client, name)
        request.progress(file.name, sum(counts.values()) - sum(before.values()), time.perf_counter() - started)
        before = counts
    ((now,),) = await client.rows("SELECT toFloat64(now64(6))")
    state = request.state(loaded_at=float(now), counts=before)
    await _note(client, name, state)
    return state


async def _note(client: ClickHouseClient, name: str, state: SeedState | None) -> None:
    values = {"database": name, "state": "", "stack_id": ""}
    if state is not None:
        values["state"] = json.dumps({**state.as_dict(), "stack_id": None})
        values["stack_id"] = state.stack_id
    await client.execute(_NOTE, settings={f"param_{key}": escape_parameter(value) for key, value in values.items()})


async def _counts(client: ClickHouseClient, name: str) -> dict[str, int]:
    return {table: int(rows) for table, rows in await client.rows(_COUNTS, {"database": name})}


async def _exists(client: ClickHouseClient, name: str) -> bool:
    ((count,),) = await client.rows(
        "SELECT count() FROM system.databases WHERE name = {database:String}", {"database": name}
    )
    return int(count) > 0


async def _drop(client: ClickHouseClient, name: str) -> None:
    """``SYNC``: otherwise the data stays on the tmpfs for minutes."""
    await client.execute(f"DROP DATABASE IF EXISTS {quote_identifier(name)} SYNC", settings=_WHOLE)


async def _rename(client: ClickHouseClient, name: str, to: str) -> None:
    await client.execute(f"RENAME DATABASE {quote_identifier(name)} TO {quote_identifier(to)}", settings=_WHOLE)


async def _repair(client: ClickHouseClient, name: str, old: str) -> None:
    """Undo what a killed seeder left half done."""
    if not await _exists(client, old):
        return
    if await read_seed(client, name) is not None:
        await _drop(client, old)
        return
    await _put_back(client, name, old)


async def _put_back(client: ClickHouseClient, name: str, old: str) -> None:
    await _drop(client, name)
    if await _exists(client, old):
        await _rename(client, old, name)


async def _roll_back(endpoint: ClickHouseEndpoint, name: str, old: str, deadline: Deadline) -> None:
    """On a connection of its own: the other may still be busy. If this fails too, the next run repairs."""
    with contextlib.suppress(FrameworkError):

        async def work() -> None:
            async with connect(endpoint, timeout=10.0) as client:
                await _put_back(client, name, old)

        await ask(endpoint, max(10.0, deadline.remaining), work)


def _refuse_reserved(endpoint: ClickHouseEndpoint) -> None:
    if endpoint.database in _RESERVED or endpoint.database.startswith(OLD_PREFIX):
        raise _not_ours(endpoint, "the server or this package needs it for itself")


async def _refuse_foreign(client: ClickHouseClient, endpoint: ClickHouseEndpoint) -> None:
    """What we did not make and what is not empty is never replaced, not even by force."""
    ((known,),) = await client.rows(_KNOWN, {"database": endpoint.database})
    if int(known):
        return
    ((tables,),) = await client.rows(
        "SELECT count() FROM system.tables WHERE database = {database:String}", {"database": endpoint.database}
    )
    if int(tables):
        raise _not_ours(endpoint, f"it holds {tables} tables or views and was not seeded by this package")


def _not_ours(endpoint: ClickHouseEndpoint, cause: str) -> SettingsError:
    return SettingsError(
        f"the ClickHouse database {endpoint.database!r} is not ours to replace",
        where=endpoint.address,
        cause=cause,
        fix="name another one in TEST_CLICKHOUSE_DB, or drop it yourself if nobody needs it",
    )
