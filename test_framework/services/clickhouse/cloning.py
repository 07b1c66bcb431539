"""Copy a ClickHouse database by its metadata: tables share the seeded parts, rows are not copied."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from test_framework.services.clickhouse.client import ClickHouseClient, ClickHouseReplyError, quote_identifier

__all__ = ["Object", "Plan", "clone_object", "read_plan", "rename_database"]

_OBJECTS = """
SELECT name, engine, create_table_query, toString(uuid) FROM system.tables
WHERE database = {database:String} ORDER BY name
"""
_PARTITIONS = """
SELECT DISTINCT partition_id FROM system.parts WHERE database = {database:String} AND table = {table:String} AND active
"""
_UNKNOWN_TABLE = {60, 36, 390}  # UNKNOWN_TABLE; a dictionary's source that is not there yet
# From here on CREATE … CLONE AS makes the table and attaches every partition in one statement.
_CLONE_AS = (24, 11)
_TOKEN = re.compile(
    r"""(?P<string>'[^'\\]*(?:(?:\\.|'')[^'\\]*)*')
      | (?P<quoted>`[^`\\]*(?:\\.[^`\\]*)*`|"[^"\\]*(?:\\.[^"\\]*)*")
      | (?P<word>[^\W\d]\w*)""",
    re.VERBOSE | re.DOTALL,
)
_DEDUPLICATION = "non_replicated_deduplication_window"
_VERSION = f"""
SELECT version(), (SELECT any(value) FROM system.merge_tree_settings WHERE name = '{_DEDUPLICATION}')
"""
_REFRESH = re.compile(r"\bREFRESH\s+(?:EVERY|AFTER)\b", re.IGNORECASE)
_VIEWS = ("View", "MaterializedView", "LiveView", "WindowView", "Dictionary")


@dataclass(frozen=True)
class Object:
    """One table, view or dictionary of the base database."""

    name: str
    engine: str
    sql: str
    uuid: str

    @property
    def is_merge_tree(self) -> bool:
        """Replicated ones keep their path in a keeper, which a copy must not share: their rows are copied instead."""
        return self.engine.endswith("MergeTree") and not self.engine.startswith("Replicated")

    @property
    def is_view(self) -> bool:
        return self.engine in _VIEWS

    @property
    def inner(self) -> str:
        """The table in which a materialised view without ``TO`` keeps its rows."""
        return f".inner_id.{self.uuid}" if int(self.uuid.replace("-", ""), 16) else f".inner.{self.name}"


@dataclass(frozen=True)
class Plan:
    """The base database, read once: what there is to copy, and how this server copies best."""

    database: str
    objects: Sequence[Object]
    clone_as: bool
    deduplicates: bool = False  # tables remember what was inserted into them, by default

    @property
    def tables(self) -> Sequence[Object]:
        return [each for each in self.objects if not each.is_view and not each.name.startswith(".inner")]

    @property
    def views(self) -> Sequence[Object]:
        """After the tables, materialised ones last: nothing is to run through them while tables are filled."""
        views = [each for each in self.objects if each.is_view]
        return sorted(views, key=lambda each: each.engine == "MaterializedView")

    @property
    def countable(self) -> bool:
        """Whether parts alone say what the database holds, and one server sees every write: the MergeTree family."""
        return all(
            each.engine in ("View", "Dictionary")
            or (each.engine == "MaterializedView" and not _REFRESH.search(each.sql))
            or (each.is_merge_tree and not each.engine.startswith("Shared"))
            for each in self.objects
        )

    @property
    def forgetful(self) -> bool:
        """Whether a row that is gone can be inserted again: no table leaves out what it has seen before."""
        return not self.deduplicates and not any(_DEDUPLICATION in each.sql for each in self.objects)

    @property
    def alike(self) -> bool:
        """Whether copies differ in nothing but their own name: inner tables are called by numbers that are new."""
        return not any(each.name.startswith(".inner") for each in self.objects)


async def read_plan(client: ClickHouseClient, database: str) -> Plan:
    ((version, window),) = await client.rows(_VERSION)
    major, minor = (int(part) for part in str(version).split(".")[:2])
    rows = await client.rows(_OBJECTS, {"database": database})
    return Plan(
        database,
        [Object(*row) for row in rows],
        clone_as=(major, minor) >= _CLONE_AS,
        deduplicates=window not in ("0", "", None),
    )


async def clone_object(client: ClickHouseClient, plan: Plan, each: Object, target: str) -> None:
    """Make ``each`` in the database ``target``, with its rows."""
    if each.is_view:
        await _clone_view(client, plan, each, target)
        return
    new = f"{quote_identifier(target)}.{quote_identifier(each.name)}"
    old = f"{quote_identifier(plan.database)}.{quote_identifier(each.name)}"
    if not each.is_merge_tree:
        await client.execute(f"CREATE TABLE {new} AS {old}")
        if each.engine not in ("Null", "Distributed", "Merge", "Buffer"):
            await client.execute(f"INSERT INTO {new} SELECT * FROM {old}")
    elif plan.clone_as:
        await client.execute(f"CREATE TABLE {new} CLONE AS {old}")
    else:
        await client.execute(f"CREATE TABLE {new} AS {old}")
        await _attach(client, (plan.database, each.name), (target, each.name))


async def _attach(client: ClickHouseClient, old: tuple[str, str], new: tuple[str, str]) -> None:
    """Give the empty table ``new`` the parts of ``old``. One by one, as all servers since 19 can."""
    rows = await client.rows(_PARTITIONS, {"database": old[0], "table": old[1]})
    source, target = (".".join(map(quote_identifier, each)) for each in (old, new))
    for (partition,) in rows:
        await client.execute(f"ALTER TABLE {target} ATTACH PARTITION ID '{partition}' FROM {source}")


async def _clone_view(client: ClickHouseClient, plan: Plan, each: Object, target: str) -> None:
    sql = rename_database(each.sql, plan.database, target, {other.name for other in plan.objects})
    await client.execute(sql)
    if each.engine == "MaterializedView" and any(other.name == each.inner for other in plan.objects):
        ((uuid,),) = await client.rows(
            "SELECT toString(uuid) FROM system.tables WHERE database = {database:String} AND name = {name:String}",
            {"database": target, "name": each.name},
        )
        new = Object(each.name, each.engine, each.sql, uuid)
        await _attach(client, (plan.database, each.inner), (target, new.inner))


def rename_database(sql: str, old: str, new: str, names: Collection[str]) -> str:
    """``sql`` with the database ``old`` called ``new``, where a database is meant.

    That is: in front of a dot, as the ``DB`` of a dictionary's source, and in texts like ``'old.table'`` for a table in
    ``names``, which is how functions such as ``dictGet`` are told theirs.
    """
    out: list[str] = []
    end = 0
    before = ""
    for found in _TOKEN.finditer(sql):
        token, replacement = found[0], None
        if found["string"] is not None:
            text = token[1:-1]
            database, dot, rest = text.partition(".")
            is_source = text == old and before in ("DB", "DATABASE")
            if is_source or (database == old and dot and rest in names):
                replacement = f"'{new}{dot}{rest}'"
        elif _plain(token) == old and sql[found.end() : found.end() + 1] == "." and sql[: found.start()][-1:] != ".":
            replacement = quote_identifier(new)
        out += [sql[end : found.start()], replacement or token]
        end, before = found.end(), token.upper()
    return "".join(out) + sql[end:]


def _plain(token: str) -> str:
    if token[0] not in '`"':
        return token
    return re.sub(r"\\(.)", r"\1", token[1:-1])


def is_missing(error: ClickHouseReplyError) -> bool:
    """Whether an object could not be made because another one is not there yet."""
    return error.code in _UNKNOWN_TABLE
