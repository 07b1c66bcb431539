"""ClickHouse: rows that make the real server answer what a mock was told to answer, and assertions on rows.

The database is the test's own: a seeded table is emptied where a query looks at all of it, and a table that the seed
lacks is made in the shape that the mock had.
"""

from __future__ import annotations

import datetime as dt
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field

from test_framework.migration.rewriter.events import CannotTell, Op
from test_framework.migration.rewriter.kinds import normal
from test_framework.migration.rewriter.schema import Schema, Table
from test_framework.migration.rewriter.sql import Statement, read_sql
from test_framework.migration.rewriter.sql_types import type_of
from test_framework.migration.rewriter.values import UNKNOWN, Const, DictV, ListV, StandIn, Value, emit, repr_of
from test_framework.migration.rewriter.wanted import Client, Seeds, is_any, said

__all__ = ["ClickHouseSeeds"]

_PARAMETER = re.compile(r"%\((\w+)\)s")
_TYPES = {
    "text": "String",
    "integer": "Int64",
    "bigint": "Int64",
    "double precision": "Float64",
    "boolean": "Bool",
    "uuid": "UUID",
    "timestamptz": "DateTime",
    "timestamp": "DateTime",
    "date": "Date",
}
_MOST = 50


@dataclass
class _Need:
    name: str
    first: Op
    samples: dict[str, list[Value]] = field(default_factory=dict)
    rows: list[tuple[Op, dict[str, Value]]] = field(default_factory=list)
    emptied: bool = False


class ClickHouseSeeds:
    """Goes through the calls in their order and gathers what the tables must hold."""

    def __init__(self, client: Client, schema: Schema) -> None:
        self.client = client
        self.schema = schema
        self.needs: dict[str, _Need] = {}

    def take(self, op: Op) -> None:
        """One call. Raises CannotTell when no rows would make the server answer like that."""
        _, method = normal(op.path)
        if method in ("close", "get_table_name"):
            return
        if method not in ("execute", "query", "command", "insert"):
            raise CannotTell(f"{'.'.join(step for step in op.path if step != '()')} has no counterpart in ClickHouse")
        if op.raises:
            raise CannotTell(f"{method} was told to raise {op.raises}: a real server fails in another way")
        statement, rows = self.read(method, op.args, op.kwargs)
        need = self.needs.setdefault(statement.table, _Need(statement.table, op))
        mentioned: dict[str, Value] = dict.fromkeys(statement.columns - {"#count"}, UNKNOWN)
        for values in [statement.where, *rows, mentioned]:
            for name, value in values.items():
                need.samples.setdefault(name, [])
                if value is not UNKNOWN:
                    need.samples[name].append(value)
        if statement.verb == "select":
            self._select(op, statement, need)
        elif statement.verb != "insert":
            raise CannotTell(f"a person must choose the rows for {statement.verb.upper()} in ClickHouse")

    def read(
        self, method: str, args: Sequence[Value], kwargs: dict[str, Value]
    ) -> tuple[Statement, list[dict[str, Value]]]:
        """What a call sends, and the rows that it inserts."""
        if method == "insert":
            return self._inserted(args, kwargs)
        text = args[0] if args else kwargs.get("sql", kwargs.get("query", UNKNOWN))
        if not isinstance(text, Const) or not isinstance(text.value, str):
            raise CannotTell(f"the SQL that {method} sends cannot be told from the source")
        given = args[1] if len(args) > 1 else kwargs.get("parameters", kwargs.get("params", UNKNOWN))
        sql = _PARAMETER.sub(r"{\1:String}", text.value)
        if sql.rstrip().upper().endswith("VALUES"):
            return read_sql(f"{sql} (NULL)", [], dialect="clickhouse"), _rows(given, _columns(sql))
        named = {str(name): value for name, value in given.items.items()} if isinstance(given, DictV) else {}
        statement = read_sql(sql, [], named, dialect="clickhouse")
        return statement, [statement.given] if statement.verb == "insert" else []

    def _inserted(self, args: Sequence[Value], kwargs: dict[str, Value]) -> tuple[Statement, list[dict[str, Value]]]:
        table = args[0] if args else kwargs.get("table", UNKNOWN)
        names = args[2] if len(args) > 2 else kwargs.get("column_names", UNKNOWN)
        if not isinstance(table, Const) or not isinstance(names, ListV):
            raise CannotTell("the table or the columns of insert cannot be told from the source")
        columns = [str(each.value) for each in names.items if isinstance(each, Const)]
        data = args[1] if len(args) > 1 else kwargs.get("data", kwargs.get("rows", UNKNOWN))
        return Statement("insert", str(table.value)), _rows(data, columns)

    def _select(self, op: Op, statement: Statement, need: _Need) -> None:
        result = op.root.results.get((*op.path, "()", "result_rows")) if isinstance(op.result, StandIn) else op.result
        if result is None or result is UNKNOWN or isinstance(result, StandIn):
            if op.used:
                raise CannotTell(f"what {op.method} answers is not said")
            return
        need.emptied = need.emptied or not statement.where
        if statement.others:
            raise CannotTell("a person must choose rows that the query's condition lets through")
        rows = _answers(op, result)
        if statement.shape == "count":
            number = rows[0][0] if rows and rows[0] else UNKNOWN
            need.rows += [(op, dict(statement.where)) for _ in range(_number(number))]
            return
        if statement.star:
            raise CannotTell("SELECT * gives all columns, of which the mock said too little")
        for row in rows:
            self._row(op, statement, need, row)

    def _row(self, op: Op, statement: Statement, need: _Need, row: Sequence[Value]) -> None:
        shown = list(statement.shown.values())
        if len(row) != len(shown):
            raise CannotTell("the rows that the mock gives do not fit the query")
        values = {name: value for name, value in zip(shown, row, strict=True) if name != "#count"}
        for name, value in values.items():
            need.samples.setdefault(name, []).append(value)
        times = next((_number(value) for name, value in zip(shown, row, strict=True) if name == "#count"), 1)
        need.rows += [(op, {**statement.where, **values}) for _ in range(times)]

    def lines(self) -> Seeds:
        """All statements, each with the call that needs it. Raises CannotTell."""
        found = Seeds()
        for need in self.needs.values():
            table = self.schema.find(need.name)
            if table is None:
                found.add(need.first, self._create(need))
            else:
                _check(need, table)
                if need.emptied:
                    found.add(need.first, self.client.call(f'execute("TRUNCATE TABLE {need.name}")'))
            for op, names, rows in _batches(need):
                texts = [f"[{', '.join(said(row[name], name) for name in names)}]" for row in rows]
                listed = (
                    f"[{texts[0]}] * {len(texts)}"
                    if len(texts) > 1 and len(set(texts)) == 1
                    else f"[{', '.join(texts)}]"
                )
                columns = ", ".join(repr_of(name) for name in names)
                found.add(op, self.client.call(f'insert("{need.name}", {listed}, [{columns}])'))
        return found

    def _create(self, need: _Need) -> str:
        columns = []
        for name, samples in need.samples.items():
            kinds = {kind for each in samples if (kind := type_of(each)) is not None}
            if len(kinds) > 1 or not kinds <= set(_TYPES):
                raise CannotTell(f"the type of {name} cannot be told from the mock's values")
            columns.append(f"{name} {_TYPES[kinds.pop()] if kinds else 'String'}")
        made = ", ".join(columns or ["nothing UInt8 DEFAULT 0"])
        return self.client.call(f'execute("CREATE TABLE {need.name} ({made}) ENGINE = MergeTree ORDER BY tuple()")')

    def assertion(self, method: str, args: Sequence[Value], kwargs: dict[str, Value], op: Op) -> list[str]:
        """Assertions that hold when the call was made. Raises CannotTell."""
        if any(is_any(each) for each in [*args, *kwargs.values()]):
            args, kwargs = op.args, op.kwargs
        statement, rows = self.read(method, args, kwargs)
        if statement.verb == "select":
            return [self._count(statement.table, statement.where, self._matching(statement))]
        lines = []
        for row in rows:
            known = {name: value for name, value in row.items() if emit(value) is not None and not is_any(value)}
            if not known:
                raise CannotTell("nothing is known of the row that was inserted")
            lines.append(self._count(statement.table, known, sum(1 for each in rows if each == row)))
        return list(dict.fromkeys(lines))

    def _matching(self, statement: Statement) -> int:
        need = self.needs[statement.table]
        return sum(
            1
            for _, row in need.rows
            if all(emit(row.get(name, UNKNOWN)) == emit(value) for name, value in statement.where.items())
        )

    def _count(self, table: str, where: dict[str, Value], number: int) -> str:
        conditions = " AND ".join(f"{name} = %({name})s" for name in where)
        condition = f" WHERE {conditions}" if where else ""
        given = ", ".join(f"{repr_of(name)}: {said(value, name)}" for name, value in where.items())
        more = f", {{{given}}}" if where else ""
        asked = self.client.call(f'execute("SELECT count() FROM {table}{condition}"{more})')
        return f"assert {asked} == [({number},)]"


def _columns(sql: str) -> list[str]:
    """The names between the parentheses of ``INSERT INTO t (a, b) VALUES``."""
    inside = sql[sql.index("(") + 1 : sql.rindex(")")]
    return [name.strip().strip('`"') for name in inside.split(",")]


def _rows(data: Value, columns: Sequence[str]) -> list[dict[str, Value]]:
    if not isinstance(data, ListV) or not all(isinstance(each, ListV) for each in data.items):
        raise CannotTell("the rows that are inserted cannot be told from the source")
    rows = [each.items for each in data.items if isinstance(each, ListV)]
    if any(len(row) != len(columns) for row in rows):
        raise CannotTell("the rows that are inserted do not fit their columns")
    return [dict(zip(columns, row, strict=True)) for row in rows]


def _answers(op: Op, result: Value) -> list[list[Value]]:
    if op.method == "command":
        return [[result]]
    if not isinstance(result, ListV) or not all(isinstance(each, ListV) for each in result.items):
        raise CannotTell(f"the rows that {op.method} answers cannot be told from the source")
    return [each.items for each in result.items if isinstance(each, ListV)]


def _number(value: Value) -> int:
    if isinstance(value, Const) and isinstance(value.value, int) and 0 <= value.value <= _MOST:
        return value.value
    raise CannotTell("how many rows there are is not said, or too many")


def _batches(need: _Need) -> list[tuple[Op, list[str], list[dict[str, Value]]]]:
    """Rows of one call with the same columns are inserted at once."""
    found: list[tuple[Op, list[str], list[dict[str, Value]]]] = []
    for op, row in need.rows:
        names = list(row)
        if not names:
            raise CannotTell("a person must choose the rows that are counted")
        if found and found[-1][0] is op and found[-1][1] == names:
            found[-1][2].append(row)
        else:
            found.append((op, names, [row]))
    return found


def _check(need: _Need, table: Table) -> None:
    """Whether a seeded table takes the values. Raises CannotTell."""
    for name, samples in need.samples.items():
        column = table.columns.get(name)
        if column is None:
            raise CannotTell(f"{need.name} has no column {name}")
        for each in samples:
            if isinstance(each, Const) and not _fits(each.value, column.type):
                raise CannotTell(f"{need.name}.{name} does not take what the mock said")


def _fits(value: object, kind: str) -> bool:
    if "uuid" in kind:
        return isinstance(value, uuid.UUID)
    if "text" in kind:
        return isinstance(value, str)
    if "date" in kind or "timestamp" in kind:
        return isinstance(value, dt.date)
    return isinstance(value, int | float) and not isinstance(value, bool)
