"""What the server says about databases, for the proof that a test left one as it was made.

First :func:`read_counts`: how many statements the whole server has seen, of which kinds. Where there were none but
queries, nothing was written. Whatever begins later changes the counts again, and what began earlier is :func:`running`
or done. Then :func:`look`: everything there is in some databases; or, where there were none but queries and inserts,
the parts alone, since rows are all that an insert adds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from test_framework.services.clickhouse.admin import Orders
from test_framework.services.clickhouse.client import ClickHouseClient, ClickHouseReplyError, quote_text
from test_framework.services.clickhouse.cloning import rename_database

__all__ = ["Contents", "Counts", "Part", "Sights", "look", "read_counts", "running", "sights"]

# Partition, rows, and the sum of all files.
Part = tuple[str, str, str]

# The counters are read one after the other, so a query that begins in between could hide another; not twice, though.
_COUNTS = " UNION ALL ".join(
    f"SELECT {scan} AS scan, event, toInt64(value) AS n FROM system.events"
    " WHERE event IN ('Query', 'SelectQuery', 'InsertQuery')"
    for scan in (1, 2)
)
_NOW = " UNION ALL SELECT 0, metric, toInt64(value) FROM system.metrics WHERE metric = 'Query'"
_PARTS = """
SELECT database, 'part' AS kind, table AS a, partition_id AS b, toString(rows) AS c, hash_of_all_files AS d
FROM system.parts WHERE active AND database IN ({names})"""
# Its own text, which has the names too, is known by the last words.
_RUNNING = """
SELECT DISTINCT name FROM system.processes ARRAY JOIN [{names}] AS name
WHERE (current_database = name OR position(query, name) > 0) AND position(query, 'asked by test-framework') = 0"""
_WAITING = """
SELECT database, 'fault', 'rows not yet inserted', table, '', ''
FROM system.asynchronous_inserts WHERE database IN ({names})"""
_REST = """
SELECT database, 'object', name, engine, create_table_query, toString(uuid)
FROM system.tables WHERE database IN ({names})
UNION ALL SELECT name, 'database', engine, comment, '', '' FROM system.databases WHERE name IN ({names})
UNION ALL SELECT database, 'fault', 'mutation', table, mutation_id, ''
FROM system.mutations WHERE database IN ({names})
UNION ALL SELECT database, 'fault', 'detached part', table, name, ''
FROM system.detached_parts WHERE database IN ({names})"""
_DETACHED = """
SELECT database, 'fault', 'detached table', table, '', '' FROM system.detached_tables WHERE database IN ({names})"""
_POLICIES = """
SELECT database, 'fault', 'row policy', name, '', '' FROM system.row_policies WHERE database IN ({names})"""
_GRANTS = """
SELECT assumeNotNull(database), 'fault', 'grant', toString(access_type), '', ''
FROM system.grants WHERE database IN ({names})"""
_DICTIONARIES = """
SELECT database, 'fault', 'dictionary in memory', name, '', ''
FROM system.dictionaries WHERE status != 'NOT_LOADED' AND database IN ({names})"""
# Who may not see policies and grants, or on whose server there are none, cannot make any.
_OPTIONAL = (_WAITING, _POLICIES, _GRANTS)
_ABSENT = {60, 497}  # UNKNOWN_TABLE, ACCESS_DENIED


@dataclass(frozen=True)
class Counts:
    """Statements that others have begun on the whole server, at least and at most: those that were no SELECT, and of
    these, those that were no INSERT either. Our own orders are not in it."""

    generation: int | None  # None: it is not known how many orders of ours were counted
    writes: tuple[int, int]
    others: tuple[int, int]
    busy: bool

    def no_writes_since(self, earlier: Counts) -> bool:
        return self._comparable(earlier) and self.writes[1] == earlier.writes[0]

    def only_inserts_since(self, earlier: Counts) -> bool:
        return self._comparable(earlier) and self.others[1] == earlier.others[0]

    def _comparable(self, earlier: Counts) -> bool:
        return self.generation is not None and self.generation == earlier.generation


@dataclass(frozen=True)
class Contents:
    """What a database holds.

    Args:
        settings: engine and comment of the database itself; ``None``: there is no such database.
        objects: by name, engine and definition, in words that are equal for all copies.
        parts: of rows, by table; also under names that are equal for all copies.
        inner: how the inner tables of materialised views are really called.
        faults: what cannot be put back.
    """

    settings: tuple[str, str] | None = None
    objects: dict[str, tuple[str, str]] = field(default_factory=dict)
    parts: dict[str, Counter[Part]] = field(default_factory=dict)
    inner: dict[str, str] = field(default_factory=dict)
    faults: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sights:
    """The questions that this server answers to this user."""

    rows: str
    everything: str | None


async def read_counts(client: ClickHouseClient, orders: Orders) -> Counts:
    async with orders.none():
        generation, done = orders.generation, orders.done
        rows = await client.rows(_COUNTS + _NOW)
        begun = orders.begun
        known = generation == orders.generation  # of what failed meanwhile nobody knows whether it was counted
    found: dict[tuple[int, str], int] = {(int(scan), event): int(n) for scan, event, n in rows}
    writes = [found.get((scan, "Query"), 0) - found.get((scan, "SelectQuery"), 0) for scan in (1, 2)]
    others = [n - found.get((scan, "InsertQuery"), 0) for scan, n in zip((1, 2), writes, strict=True)]
    return Counts(
        generation if known else None,
        writes=(min(writes) - begun, max(writes) - done),
        others=(min(others) - begun, max(others) - done),
        busy=found.get((0, "Query"), 2) > 1,
    )


async def sights(client: ClickHouseClient, *, dictionaries: bool) -> Sights:
    """Find out what can be asked here."""
    there = [each for each in _OPTIONAL if await _answers(client, each)]
    rows = [_PARTS, *(each for each in there if each is _WAITING)]
    # Without a list of what is detached, which servers have since 24.9, not everything can be seen.
    complete = await _answers(client, _DETACHED)
    more = [_REST, _DETACHED, *([_DICTIONARIES] if dictionaries else []), *there]
    return Sights(
        rows=" UNION ALL ".join(rows),
        everything=" UNION ALL ".join(dict.fromkeys([*rows, *more])) if complete else None,
    )


async def _answers(client: ClickHouseClient, question: str) -> bool:
    try:
        await client.rows(question.replace("{names}", "''"))
    except ClickHouseReplyError as error:
        if error.code in _ABSENT:
            return False
        raise
    return True


async def running(client: ClickHouseClient, names: Collection[str]) -> set[str]:
    """Those of the databases in which a statement runs, or which one names."""
    rows = await client.rows(_RUNNING.replace("{names}", ", ".join(map(quote_text, names))))
    return {name for (name,) in rows}


async def look(client: ClickHouseClient, question: str, names: Collection[str]) -> dict[str, Contents]:
    """What is in each of the databases ``names``."""
    rows = await client.rows(question.replace("{names}", ", ".join(map(quote_text, names))))
    by_name: dict[str, list[Sequence[str]]] = {name: [] for name in names}
    for name, *row in rows:
        by_name[name].append(row)
    return {name: _contents(name, found) for name, found in by_name.items()}


def _contents(database: str, rows: Sequence[Sequence[str]]) -> Contents:
    objects = {name: (engine, sql, uuid) for kind, name, engine, sql, uuid in rows if kind == "object"}
    inner = {
        f".inner_id.{uuid}": f".inner.{name}"
        for name, (engine, _, uuid) in objects.items()
        if engine == "MaterializedView" and f".inner_id.{uuid}" in objects
    }
    parts: dict[str, Counter[Part]] = {}
    for kind, table, partition, count, files in rows:
        if kind == "part":
            parts.setdefault(inner.get(table, table), Counter())[partition, count, files] += 1
    names = frozenset(objects)
    return Contents(
        settings=next(((engine, comment) for kind, engine, comment, *_ in rows if kind == "database"), None),
        objects={
            inner.get(name, name): (engine, _neutral(sql.replace(name, inner.get(name, name)), database, names))
            for name, (engine, sql, _) in objects.items()
        },
        parts=parts,
        inner={neutral: real for real, neutral in inner.items()},
        faults=tuple(" ".join(filter(None, row)) for kind, *row in rows if kind == "fault"),
    )


@lru_cache(maxsize=1024)
def _neutral(sql: str, database: str, names: frozenset[str]) -> str:
    return rename_database(sql, database, "", names)
