"""Whether a value fits a column, and what column would fit a value."""

from __future__ import annotations

import datetime as dt
import decimal
import uuid
from collections.abc import Sequence

from test_framework.migration.rewriter.events import CannotTell
from test_framework.migration.rewriter.schema import Column
from test_framework.migration.rewriter.values import Const, ListV, Sym, Value

__all__ = ["column_type", "fits"]

_OF_SYMBOL = {
    "UUID": "uuid",
    "datetime": "timestamptz",
    "naive datetime": "timestamp",
    "date": "date",
    "str": "text",
    "float": "double precision",
    "int": "bigint",
    "bool": "boolean",
    "Decimal": "numeric",
}
_OF_CONSTANT: dict[type, str] = {
    str: "text",
    float: "double precision",
    decimal.Decimal: "numeric",
    uuid.UUID: "uuid",
    dt.date: "date",
    bytes: "bytea",
}
_FAMILIES = {
    "text": ("text", "varchar", "character", "char", "citext"),
    "integer": ("int", "bigint", "smallint", "serial", "numeric", "decimal", "double", "real"),
    "bigint": ("bigint", "int8", "numeric"),
    "double precision": ("double", "real", "float"),
    "boolean": ("bool",),
    "numeric": ("numeric", "decimal"),
    "uuid": ("uuid",),
    "timestamptz": ("timestamptz", "timestamp with time zone"),
    "timestamp": ("timestamp",),
    "date": ("date",),
    "bytea": ("bytea",),
    "text[]": ("text[]", "varchar[]"),
    "integer[]": ("int[]", "integer[]", "bigint[]"),
}


def type_of(value: Value) -> str | None:
    """The PostgreSQL type of one value; ``None`` for NULL. Raises CannotTell."""
    if isinstance(value, Const):
        return _type_of_constant(value.value)
    if isinstance(value, Sym) and value.pytype in _OF_SYMBOL:
        return _OF_SYMBOL[value.pytype]
    if isinstance(value, ListV) and value.items:
        inner = type_of(value.items[0])
        if inner in ("text", "integer"):
            return f"{inner}[]"
    raise CannotTell("a column's type cannot be told from the mock's values")


def _type_of_constant(value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer" if abs(value) < 2**31 else "bigint"
    if isinstance(value, dt.datetime):
        return "timestamptz" if value.tzinfo else "timestamp"
    for kind, name in _OF_CONSTANT.items():
        if isinstance(value, kind):
            return name
    raise CannotTell(f"no column holds a {type(value).__name__} as it is")


def column_type(name: str, samples: Sequence[Value]) -> str:
    """A column that holds all of ``samples``. Raises CannotTell."""
    types = {found for each in samples if (found := type_of(each)) is not None}
    if not types:
        return "timestamptz" if name.endswith(("_at", "_on")) else "text"
    if types == {"integer", "double precision"}:
        return "double precision"
    if types <= {"integer", "bigint"}:
        return "bigint" if "bigint" in types else "integer"
    if len(types) > 1:
        raise CannotTell(f"{name} has values of several types")
    return types.pop()


def fits(value: Value, column: Column) -> bool:
    """Whether the column takes the value and gives the same one back."""
    try:
        kind = type_of(value)
    except CannotTell:
        return isinstance(value, Sym) and value.pytype is None and column.type in ("text", "varchar")
    if kind is None:
        return not column.needed
    if not column.type.startswith(_FAMILIES[kind]) or (kind == "timestamp" and column.type.startswith("timestamptz")):
        return False
    if isinstance(value, Const) and isinstance(value.value, str):
        if column.choices and value.value not in column.choices:
            return False
        return column.name != "email" or "@" in value.value[1:]
    return True
