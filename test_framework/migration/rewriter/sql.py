"""What one SQL statement does, as far as rows can be made for it: verb, table, columns, equalities."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from test_framework.migration.rewriter.events import CannotTell
from test_framework.migration.rewriter.values import UNKNOWN, Const, Value

__all__ = ["Statement", "read_sql"]


@dataclass
class Statement:
    """``given`` are the columns that an INSERT or UPDATE fills, ``where`` what a row must equal to be met.

    ``shown`` maps the names of the result to columns; ``shape`` is ``rows``, ``count`` or ``exists``; ``star``: all
    columns are shown. ``others`` are columns that a condition mentions which no row can be made to meet for sure.
    """

    verb: str
    table: str
    given: dict[str, Value] = field(default_factory=dict)
    where: dict[str, Value] = field(default_factory=dict)
    shown: dict[str, str] = field(default_factory=dict)
    shape: str = "rows"
    star: bool = False
    others: set[str] = field(default_factory=set)
    computed: set[str] = field(default_factory=set)
    conflict: bool = False
    groups: list[str] = field(default_factory=list)

    @property
    def columns(self) -> set[str]:
        return {*self.given, *self.where, *self.shown.values(), *self.others, *self.computed}


@lru_cache(maxsize=512)
def _parsed(text: str, dialect: str) -> Any:
    import sqlglot
    from sqlglot.errors import SqlglotError

    try:
        found = sqlglot.parse(text, read=dialect)
    except (SqlglotError, RecursionError):
        raise CannotTell("the SQL cannot be read") from None
    if len(found) != 1 or found[0] is None:
        raise CannotTell("several SQL statements are sent at once")
    return found[0]


def read_sql(
    text: str, args: Sequence[Value], named: Mapping[str, Value] | None = None, *, dialect: str = "postgres"
) -> Statement:
    """Read one statement with its arguments. Raises CannotTell."""
    from sqlglot import exp

    reader = _Reader(args, named or {})
    tree = _parsed(text, dialect)
    if isinstance(tree, exp.Insert):
        return reader.insert(tree)
    if isinstance(tree, exp.Update):
        return reader.update(tree)
    if isinstance(tree, exp.Delete):
        statement = Statement("delete", _table(tree.this))
        reader.condition(tree.args.get("where"), statement)
        return statement
    if isinstance(tree, exp.Select):
        return reader.select(tree)
    raise CannotTell(f"{type(tree).__name__.upper()} is no statement that rows can be made for")


def _table(node: Any) -> str:
    from sqlglot import exp

    if not isinstance(node, exp.Table) or not node.name:
        raise CannotTell("the table cannot be told from the SQL")
    return f"{node.db}.{node.name}" if node.db else str(node.name)


class _Reader:
    def __init__(self, args: Sequence[Value], named: Mapping[str, Value]) -> None:
        self.args = args
        self.named = named

    def value(self, node: Any) -> Value:
        """A parameter's or literal's value; UNKNOWN for anything that is computed."""
        from sqlglot import exp

        if isinstance(node, exp.Cast | exp.Paren):
            return self.value(node.this)
        if isinstance(node, exp.Parameter):
            number = int(node.name) - 1 if node.name.isdigit() else -1
            return self.args[number] if 0 <= number < len(self.args) else UNKNOWN
        if isinstance(node, exp.Placeholder):
            return self.named.get(str(node.this), UNKNOWN)
        if isinstance(node, exp.Boolean):
            return Const(bool(node.this))
        if isinstance(node, exp.Null):
            return Const(None)
        if isinstance(node, exp.Literal):
            return (
                Const(str(node.this))
                if node.is_string
                else Const(float(node.this) if "." in node.this else int(node.this))
            )
        return UNKNOWN

    def insert(self, tree: Any) -> Statement:
        from sqlglot import exp

        schema = tree.this
        if not isinstance(schema, exp.Schema) or not isinstance(tree.expression, exp.Values):
            raise CannotTell("an INSERT names no columns, or has its rows from elsewhere")
        statement = Statement("insert", _table(schema.this), conflict=tree.args.get("conflict") is not None)
        rows = tree.expression.expressions
        names = [each.name for each in schema.expressions]
        if rows:
            values = rows[0].expressions if isinstance(rows[0], exp.Tuple) else [rows[0]]
            for name, each in zip(names, values, strict=False):
                value = self.value(each)
                statement.given[name] = value
        else:
            statement.computed.update(names)
        returning = tree.args.get("returning")
        if returning is not None:
            self.projection(returning.expressions, statement)
        return statement

    def update(self, tree: Any) -> Statement:
        from sqlglot import exp

        statement = Statement("update", _table(tree.this))
        for each in tree.expressions:
            if isinstance(each, exp.EQ) and isinstance(each.this, exp.Column):
                value = self.value(each.expression)
                if value is UNKNOWN:
                    statement.computed.add(each.this.name)
                    statement.computed.update(column.name for column in each.expression.find_all(exp.Column))
                else:
                    statement.given[each.this.name] = value
        self.condition(tree.args.get("where"), statement)
        returning = tree.args.get("returning")
        if returning is not None:
            self.projection(returning.expressions, statement)
        return statement

    def select(self, tree: Any) -> Statement:
        from sqlglot import exp

        if tree.args.get("joins") or tree.args.get("with_") or tree.args.get("having"):
            raise CannotTell("a query of several tables needs rows that a person must choose")
        source = tree.args.get("from_") or tree.args.get("from")
        if source is None:
            if len(tree.expressions) == 1 and isinstance(tree.expressions[0], exp.Exists):
                statement = self.select(tree.expressions[0].this)
                statement.shape = "exists"
                return statement
            return Statement("select", "", shape="constant")
        statement = Statement("select", _table(source.this))
        self.projection(tree.expressions, statement)
        self.condition(tree.args.get("where"), statement)
        if tree.args.get("group"):
            statement.groups = [each.name for each in tree.args["group"].expressions]
        for order in tree.args["order"].expressions if tree.args.get("order") else ():
            statement.computed.update(
                column.name for column in order.find_all(exp.Column) if column.name not in statement.shown
            )
        return statement

    def projection(self, expressions: Sequence[Any], statement: Statement) -> None:
        from sqlglot import exp

        for each in expressions:
            inner, name = (each.this, each.alias) if isinstance(each, exp.Alias) else (each, each.output_name)
            if isinstance(inner, exp.Star):
                statement.star = True
            elif isinstance(inner, exp.Column):
                if isinstance(inner.this, exp.Star):
                    statement.star = True
                else:
                    statement.shown[name or inner.name] = inner.name
            elif isinstance(inner, exp.Count) and (
                isinstance(inner.this, exp.Star | exp.Literal) or inner.this is None
            ):
                if len(expressions) == 1:
                    statement.shape = "count"
                else:
                    statement.shown[name or "count"] = "#count"
            elif isinstance(inner, exp.Literal):
                statement.shape = "exists"
            else:
                raise CannotTell(f"{inner.sql()} is computed by the server: a person must choose rows for it")

    def condition(self, where: Any, statement: Statement) -> None:
        from sqlglot import exp

        for each in _conjuncts(where.this) if where is not None else ():
            if isinstance(each, exp.EQ) and isinstance(each.this, exp.Column):
                value = self.value(each.expression)
                if value is UNKNOWN:
                    raise CannotTell(f"the value of {each.this.name} in the query cannot be told from the source")
                statement.where[each.this.name] = value
            elif (
                isinstance(each, exp.EQ) and isinstance(each.this, exp.Lower) and isinstance(each.this.this, exp.Column)
            ):
                statement.others.add(each.this.this.name)
            elif (
                isinstance(each, exp.Is) and isinstance(each.expression, exp.Null) and isinstance(each.this, exp.Column)
            ):
                statement.where[each.this.name] = Const(None)
            elif isinstance(each, exp.Column):
                statement.where[each.name] = Const(True)  # noqa: FBT003 - the constant itself
            elif isinstance(each, exp.Not) and isinstance(each.this, exp.Column):
                statement.where[each.this.name] = Const(False)  # noqa: FBT003 - the constant itself
            else:
                statement.others.update(column.name for column in each.find_all(exp.Column))


def _conjuncts(node: Any) -> Iterator[Any]:
    from sqlglot import exp

    if isinstance(node, exp.And):
        yield from _conjuncts(node.this)
        yield from _conjuncts(node.expression)
    elif isinstance(node, exp.Paren):
        yield from _conjuncts(node.this)
    else:
        yield node
