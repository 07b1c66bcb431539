"""PostgreSQL: rows that make the real server answer what a mock was told to answer.

Rows go into the seeded tables where what the mock said fits them. Where there is no such table, or what the mock said
can be no row of it, the test makes a table of the shape that its mock had; it is gone with the test's transaction.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from test_framework.migration.rewriter.events import CannotTell, Op
from test_framework.migration.rewriter.kinds import normal
from test_framework.migration.rewriter.schema import Schema
from test_framework.migration.rewriter.sql import Statement, read_sql
from test_framework.migration.rewriter.values import UNKNOWN, Const, DictV, ListV, StandIn, Sym, Value, emit
from test_framework.migration.rewriter.wanted import Client

__all__ = ["Need", "SqlSeeds"]

_QUIET = frozenset({"close", "release", "transaction", "acquire", "connection", "terminate", "is_closed"})
_ASKS = frozenset({"fetch", "fetchrow", "fetchval", "execute", "executemany"})
_MOST = 50


@dataclass
class Need:
    """What a test needs of one table."""

    name: str
    first: Op
    samples: dict[str, list[Value]] = field(default_factory=dict)
    rows: list[tuple[Op, dict[str, Value]]] = field(default_factory=list)
    inserted: list[dict[str, Value]] = field(default_factory=list)
    deleted: list[dict[str, Value]] = field(default_factory=list)
    updated: list[tuple[dict[str, Value], dict[str, Value]]] = field(default_factory=list)
    defaults: dict[str, Value] = field(default_factory=dict)
    star: bool = False
    everything: bool = False
    several: bool = False
    made: bool = False

    def sample(self, values: dict[str, Value]) -> None:
        for name, value in values.items():
            self.samples.setdefault(name, [])
            if value is not UNKNOWN:
                self.samples[name].append(value)


def same(left: Value, right: Value) -> bool:
    """Whether two values are surely equal."""
    if isinstance(left, Const) and isinstance(right, Const):
        return bool(left.value == right.value)
    texts = emit(left), emit(right)
    return texts[0] is not None and texts[0] == texts[1]


class SqlSeeds:
    """Goes through the calls in their order and gathers what the tables must hold.

    Args:
        pinned: whether the test itself names a constant, so that no other value would do.
        exact: the test compares whole rows.
    """

    def __init__(
        self, client: Client, schema: Schema, *, pinned: Callable[[Value], bool], exact: bool, shared: bool
    ) -> None:
        self.client = client
        self.schema = schema
        self.pinned = pinned
        self.exact = exact
        self.shared = shared
        self.needs: dict[str, Need] = {}
        self.statements: dict[int, list[Statement]] = {}

    def need(self, name: str, op: Op) -> Need:
        return self.needs.setdefault(name.lower(), Need(name, op))

    def take(self, op: Op) -> None:
        """One call. Raises CannotTell when no rows would make the server answer like that."""
        _, method = normal(op.path)
        if method in _QUIET or op.path == ("()",) or (method is None and op.path[-2:-1] == ("transaction",)):
            return
        if method is None or method not in _ASKS:
            raise CannotTell(
                f"{'.'.join(step for step in op.path if step != '()') or 'a call'} has no counterpart in asyncpg"
            )
        for statement in self.read(op):
            self._one(op, method, statement)

    def read(self, op: Op) -> list[Statement]:
        """The statements that a call sends."""
        if id(op) in self.statements:
            return self.statements[id(op)]
        text = op.args[0] if op.args else op.kwargs.get("query", UNKNOWN)
        if not isinstance(text, Const) or not isinstance(text.value, str) or not op.complete_arguments:
            raise CannotTell(f"the SQL that {op.method} sends cannot be told from the source")
        rows: Sequence[Sequence[Value]] = [op.args[1:]]
        if op.method == "executemany":
            given = op.args[1] if len(op.args) > 1 else UNKNOWN
            if not isinstance(given, ListV) or not all(isinstance(each, ListV) for each in given.items):
                raise CannotTell("the rows of executemany cannot be told from the source")
            rows = [each.items for each in given.items if isinstance(each, ListV)]
        self.statements[id(op)] = [read_sql(text.value, row) for row in rows]
        return self.statements[id(op)]

    def _one(self, op: Op, method: str, statement: Statement) -> None:
        if op.raises:
            self._raises(op, statement)
            return
        if statement.shape == "constant":
            return
        need = self.need(statement.table, op)
        need.star = need.star or statement.star
        need.sample(dict.fromkeys(sorted(statement.columns - {"#count"}), UNKNOWN))
        need.sample({**statement.given, **statement.where})
        if statement.verb == "insert":
            self._insert(op, statement, need)
        elif statement.verb in ("update", "delete"):
            self._change(op, statement, need)
        else:
            self._select(op, method, statement, need)

    def _raises(self, op: Op, statement: Statement) -> None:
        if statement.verb != "insert" or "UniqueViolation" not in op.raises or statement.conflict:
            raise CannotTell(f"{op.method} was told to raise {op.raises}: a real server fails in another way")
        table = self.schema.find(statement.table)
        if table is None:
            raise CannotTell(f"{statement.table} is not known: no row there surely conflicts")
        need = self.need(statement.table, op)
        need.sample(statement.given)
        need.rows.append((op, {name: value for name, value in statement.given.items() if value is not UNKNOWN}))

    def _insert(self, op: Op, statement: Statement, need: Need) -> None:
        for row in self._answers(op, statement) if op.configured and not isinstance(op.result, StandIn) else ():
            for name, value in row.items():
                given = statement.given.get(name)
                if given is None:
                    need.defaults[name] = value
                    need.sample({name: value})
                elif not same(given, value):
                    raise CannotTell(f"INSERT is told to give another {name} back than it got")
        need.inserted.append(statement.given)

    def _change(self, op: Op, statement: Statement, need: Need) -> None:
        result = op.result.value if isinstance(op.result, Const) else "1"
        before = dict(statement.where)
        if op.method in ("fetchrow", "fetchval") and op.configured and not isinstance(op.result, StandIn):
            rows = self._answers(op, statement)
            if not rows:
                result = "0"
            for row in rows:
                need.sample(row)
                before.update(
                    {
                        name: value
                        for name, value in row.items()
                        if name not in statement.given and name not in statement.computed
                    }
                )
                for name in statement.computed & set(row):
                    earlier = row[name]
                    if isinstance(earlier, Const) and isinstance(earlier.value, int):
                        raise CannotTell(f"the server computes {name}: a person must choose the row before")
        for name in statement.computed:
            if not need.samples.get(name) and not name.endswith("_at"):
                need.sample({name: Const(0)})
                before.setdefault(name, Const(0))
        if not str(result).endswith("0"):
            self._row(op, need, before)
        (
            need.deleted.append(statement.where)
            if statement.verb == "delete"
            else need.updated.append((statement.where, statement.given))
        )

    def _select(self, op: Op, method: str, statement: Statement, need: Need) -> None:
        if not op.configured or isinstance(op.result, StandIn):
            if op.used:
                raise CannotTell(f"what {method} answers is not said")
            return
        if statement.shape != "exists" and not self._picks(op, statement):
            need.everything = True
        if statement.shape == "count":
            self._count(op, statement, need)
            return
        rows = self._answers(op, statement)
        if statement.others and rows and statement.others - set(rows[0]):
            raise CannotTell(
                f"a person must choose rows that the condition on {', '.join(sorted(statement.others))} lets through"
            )
        need.several = need.several or len(rows) > 1
        for row in rows:
            need.sample(row)
            for name, value in statement.where.items():
                if (
                    name in row
                    and not same(row[name], value)
                    and emit(value) is not None
                    and isinstance(row[name], Const)
                    and isinstance(value, Const)
                ):
                    raise CannotTell(f"the row that the mock gives has another {name} than the query asks for")
            self._row(op, need, {**statement.where, **row}, alone=len(rows) == 1)

    def _picks(self, op: Op, statement: Statement) -> bool:
        """Whether the condition leaves out the rows that a seeded table holds anyway."""
        said = [value for value in statement.where.values() if not _vague(value)]
        if op.method == "fetch" or statement.shape == "count":
            said = [value for value in said if not isinstance(value, Const) or isinstance(value.value, uuid.UUID)]
        return bool(said)

    def _count(self, op: Op, statement: Statement, need: Need) -> None:
        if (
            not isinstance(op.result, Const)
            or not isinstance(op.result.value, int)
            or not 0 <= op.result.value <= _MOST
        ):
            raise CannotTell("how many rows there are is not said, or too many")
        if statement.others and op.result.value:
            raise CannotTell("a person must choose rows that the query's condition lets through")
        need.several = need.several or op.result.value > 1
        need.rows += [(op, dict(statement.where)) for _ in range(op.result.value)]

    def _answers(self, op: Op, statement: Statement) -> list[dict[str, Value]]:
        """The rows that the mock gives, by the table's columns."""
        result = op.result
        if op.method == "fetchval" or statement.shape == "exists":
            if isinstance(result, Const) and not result.value and (result.value is None or statement.shape == "exists"):
                return []
            if statement.shape == "exists":
                return [{}]
            if len(statement.shown) != 1 or not isinstance(result, Const | Sym | ListV):
                raise CannotTell("what fetchval answers cannot be told from the source")
            return [{next(iter(statement.shown.values())): result}]
        if op.method == "execute":
            return []
        if isinstance(result, Const) and result.value is None:
            return []
        rows = result.items if isinstance(result, ListV) and op.method == "fetch" else [result or UNKNOWN]
        return [self._columns(each, statement) for each in rows]

    def _columns(self, row: Value, statement: Statement) -> dict[str, Value]:
        if not isinstance(row, DictV):
            raise CannotTell("the row that the mock gives cannot be told from the source")
        found: dict[str, Value] = {}
        for name, value in row.items.items():
            column = statement.shown.get(str(name), str(name) if statement.star else None)
            if column == "#count":
                raise CannotTell("a person must choose the rows that the query counts")
            if column is not None:
                found[column] = value
        missing = set(statement.shown.values()) - set(found) - {"#count"}
        if missing and self.exact and not statement.star:
            raise CannotTell(f"the query gives {', '.join(sorted(missing))}, of which the mock said nothing")
        return found

    def _row(self, op: Op, need: Need, values: dict[str, Value], *, alone: bool = True) -> None:
        """Seed a row, unless the code under test made it or it is there already."""
        for earlier in need.inserted:
            if any(name in earlier and same(earlier[name], value) for name, value in values.items()):
                return
        for _, row in need.rows if alone else ():
            shared = [name for name in values if name in row and not _vague(values[name])]
            if shared and all(same(row[name], values[name]) for name in shared):
                row.update(values)
                return
        need.rows.append((op, values))

    def matching(self, table: str, where: dict[str, Value]) -> int:
        """How many rows meet ``where`` in the end."""
        need = self.needs[table.lower()]
        rows = [dict(row) for _, row in need.rows] + [dict(row) for row in need.inserted]
        for met, change in need.updated:
            for row in rows:
                if _meets(row, met):
                    row.update(change)
        for met in need.deleted:
            rows = [row for row in rows if not _meets(row, met)]
        return sum(1 for row in rows if _meets(row, where))


def _vague(value: Value) -> bool:
    return isinstance(value, Const) and isinstance(value.value, bool | None)


def _meets(row: dict[str, Value], where: dict[str, Value]) -> bool:
    for name, value in where.items():
        if isinstance(value, Const) and value.value is None:
            if name in row and not same(row[name], value):
                return False
        elif name not in row or not same(row[name], value):
            return False
    return True
