"""Putting a test's database back exactly, and proving it, which costs a tenth of dropping it and copying it anew.

The proof. A row carries the number of the transaction that wrote it. Every row of the template is older than the
template's own entry in the catalog of databases; every row that a test wrote is younger. So when nothing but rows of
known tables was written (the server counts whatever changes a row, of the catalogs too), and after the younger ones
were deleted each table has as many rows as the template, then these are the template's rows, none of them changed.
Sequences, which nobody counts, are compared and set. Any doubt means: not restored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from test_framework.services.postgres.client import quote_literal
from test_framework.services.postgres.databases import Connection

__all__ = ["RESET_TIME", "Facts", "Table", "prepare_state", "read_born", "read_facts", "restore"]

# Counting rows takes longer than copying files, from some size on.
_LARGEST = 4 * 1024 * 1024
# A server that crashed has set its counters to zero; it notes when.
RESET_TIME = "SELECT pg_catalog.pg_stat_get_bgwriter_stat_reset_time()"
_BORN = """
SELECT xmin::text FROM pg_catalog.pg_database WHERE datname = $1
   AND pg_catalog.current_setting('server_version_num')::integer >= 150000
"""
# A trigger, a rule or a row policy may do anything when a row is deleted.
_TABLES = """
SELECT c.oid, c.reltoastrelid AS toast, pg_catalog.format('%I.%I', n.nspname, c.relname) AS name,
       pg_catalog.pg_relation_size(c.oid) AS size,
       NOT c.relhasrules AND NOT c.relrowsecurity AND NOT EXISTS (
           SELECT FROM pg_catalog.pg_trigger t
           WHERE t.tgrelid = c.oid AND NOT t.tgisinternal AND t.tgtype::integer & 8 <> 0) AS plain
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' ORDER BY c.oid
"""
_SEQUENCES = """
SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) AS name
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'S' ORDER BY c.oid
"""
_YOUNG = "pg_catalog.age(xmin) <= pg_catalog.age({born}::text::xid)"
# What was written since the database was made, by table, and in the whole database; and its own properties.
# $1 the known tables with their toast tables, $2 the template.
_STATE = """
WITH counted AS (
    SELECT oid, pg_catalog.pg_stat_get_tuples_inserted(oid) + pg_catalog.pg_stat_get_tuples_updated(oid)
              + pg_catalog.pg_stat_get_tuples_deleted(oid) AS written
    FROM pg_catalog.unnest($1::oid[]) oid)
SELECT pg_catalog.pg_stat_get_bgwriter_stat_reset_time() AS reset,
       ARRAY(SELECT oid FROM counted WHERE written > 0) AS touched,
       (SELECT coalesce(pg_catalog.sum(pg_catalog.pg_relation_size(oid)), 0) FROM counted WHERE written > 0) AS size,
       pg_catalog.pg_stat_get_db_tuples_inserted(d.oid) + pg_catalog.pg_stat_get_db_tuples_updated(d.oid)
         + pg_catalog.pg_stat_get_db_tuples_deleted(d.oid) = (SELECT pg_catalog.sum(written) FROM counted)
   AND pg_catalog.current_setting('track_counts')::boolean
   AND NOT (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user)
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_prepared_xacts WHERE database = d.datname)
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_shdescription
                   WHERE objoid = d.oid AND classoid = 'pg_catalog.pg_database'::regclass)
   AND (d.datdba, d.datacl::text, d.datconnlimit, d.datallowconn, d.datistemplate, d.dattablespace, d.encoding)
       IS NOT DISTINCT FROM (t.datdba, NULL::text, -1, true, false, t.dattablespace, t.encoding)
   AND (SELECT pg_catalog.array_agg((setrole, setconfig)::text ORDER BY setrole)
        FROM pg_catalog.pg_db_role_setting WHERE setdatabase = d.oid)
       IS NOT DISTINCT FROM
       (SELECT pg_catalog.array_agg((setrole, setconfig)::text ORDER BY setrole)
        FROM pg_catalog.pg_db_role_setting WHERE setdatabase = t.oid) AS sound
FROM pg_catalog.pg_database d, pg_catalog.pg_database t
WHERE d.datname = pg_catalog.current_database() AND t.datname = $2
"""


@dataclass(frozen=True, kw_only=True)
class Table:
    """One of the template's tables.

    Args:
        name: quoted, with its schema.
        rows: how many the template has; ``None``: the table is not one that can be put back.
    """

    name: str
    rows: int | None


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a template's copies are like when they are new.

    Args:
        born: a transaction that is younger than every row of the template.
        tables: by number; a table's toast table has the same entry.
        sequences: the state of each, by its quoted name.
    """

    template: str
    born: str
    tables: dict[int, Table]
    sequences: dict[str, tuple[int, bool]]


async def read_born(connection: Connection, template: str) -> str | None:
    """``Facts.born`` of ``template``; ``None`` where the server does not count what is written exactly enough."""
    found: str | None = await connection.fetchval(_BORN, template)
    return found


async def read_facts(connection: Connection, template: str, born: str) -> Facts | None:
    """Look at a copy that nobody has used yet, over a connection to it. ``None``: such copies cannot be put back."""
    tables: dict[int, Table] = {}
    for row in await connection.fetch(_TABLES):
        rows = await _count(connection, row["name"], born) if row["plain"] and row["size"] <= _LARGEST else None
        tables[row["oid"]] = Table(name=row["name"], rows=rows)
        if row["toast"]:
            tables[row["toast"]] = tables[row["oid"]]
    names = [row["name"] for row in await connection.fetch(_SEQUENCES)]
    return Facts(template=template, born=born, tables=tables, sequences=await _sequences(connection, names))


async def _count(connection: Connection, name: str, born: str) -> int | None:
    young = _YOUNG.format(born=quote_literal(born))
    row = await connection.fetchrow(
        f"SELECT count(*) AS rows, count(*) FILTER (WHERE {young}) AS young FROM ONLY {name}"
    )
    return row["rows"] if row is not None and row["young"] == 0 else None


async def _sequences(connection: Connection, names: Sequence[str]) -> dict[str, tuple[int, bool]]:
    if not names:
        return {}
    parts = [f"SELECT {quote_literal(name)} AS name, last_value, is_called FROM {name}" for name in names]
    rows = await connection.fetch(" UNION ALL ".join(parts))
    return {row["name"]: (row["last_value"], row["is_called"]) for row in rows}


async def restore(connection: Connection, facts: Facts, reset: datetime | None, state: Any) -> bool:
    """Put the database that ``connection``, alone, is connected to back to what its template is. Whether it is.

    Args:
        reset: what :data:`RESET_TIME` said when the database was known to be new.
        state: what :func:`prepare_state` gave for this connection.
    """
    found = await state.fetchrow(list(facts.tables), facts.template)
    if found is None or not found["sound"] or found["reset"] != reset or found["size"] > _LARGEST:
        return False
    touched = {facts.tables[oid] for oid in found["touched"]}
    if touched and not await _put_back(connection, sorted(touched, key=lambda table: table.name), facts.born):
        return False
    return not facts.sequences or await _put_sequences_back(connection, facts.sequences)


async def prepare_state(connection: Connection) -> Any:
    """The question that each restoration begins with, planned once for a connection."""
    return await connection.prepare(_STATE)


async def _put_back(connection: Connection, tables: Sequence[Table], born: str) -> bool:
    if any(table.rows is None for table in tables):
        return False
    young = _YOUNG.format(born=quote_literal(born))
    # In one statement, so that it does not matter which of them refers to which.
    deletes = ", ".join(f"d{n} AS (DELETE FROM ONLY {table.name} WHERE {young})" for n, table in enumerate(tables))
    await connection.execute(f"WITH {deletes} SELECT")
    same = " AND ".join(f"(SELECT count(*) FROM ONLY {table.name}) = {table.rows}" for table in tables)
    # The server shall count our own deletions at once: what it shows later must add up.
    return bool(await connection.fetchval(f"SELECT {same} FROM pg_catalog.pg_stat_force_next_flush()"))


async def _put_sequences_back(connection: Connection, wanted: dict[str, tuple[int, bool]]) -> bool:
    found = await _sequences(connection, list(wanted))
    changed = {name: state for name, state in wanted.items() if found.get(name) != state}
    for name, (value, called) in changed.items():
        await connection.fetchval("SELECT pg_catalog.setval($1::text::regclass, $2, $3)", name, value, called)
    return not changed or await _sequences(connection, list(wanted)) == wanted
