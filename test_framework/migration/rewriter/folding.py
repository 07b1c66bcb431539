"""What can be computed without running anybody's code: operators, and a few pure functions of the standard library."""

from __future__ import annotations

import ast
import base64
import datetime as dt
import decimal
import hashlib
import json
import operator
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from test_framework.migration.rewriter.values import (
    UNKNOWN,
    Const,
    DictV,
    ListV,
    StandIn,
    Sym,
    Unknown,
    Value,
    emit,
    truth,
)

__all__ = ["binary", "compare", "external_call", "format_string", "method_call", "subscript", "wrap"]

_BINARY: dict[type[ast.operator], tuple[Callable[[Any, Any], Any], str]] = {
    ast.Add: (operator.add, "+"),
    ast.Sub: (operator.sub, "-"),
    ast.Mult: (operator.mul, "*"),
    ast.Div: (operator.truediv, "/"),
    ast.FloorDiv: (operator.floordiv, "//"),
    ast.Mod: (operator.mod, "%"),
}
_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
    ast.In: lambda left, right: left in right,
    ast.NotIn: lambda left, right: left not in right,
}
_PURE: dict[str, Callable[..., Any]] = {
    "json.dumps": json.dumps,
    "json.loads": json.loads,
    "str": str,
    "int": int,
    "float": float,
    "bool": bool,
    "len": len,
    "abs": abs,
    "round": round,
    "min": min,
    "max": max,
    "sum": sum,
    "sorted": sorted,
    "bytes": bytes,
    "uuid.UUID": uuid.UUID,
    "uuid.uuid5": uuid.uuid5,
    "decimal.Decimal": decimal.Decimal,
    "datetime.datetime": dt.datetime,
    "datetime.date": dt.date,
    "datetime.timedelta": dt.timedelta,
    "datetime.timezone": dt.timezone,
    "datetime.datetime.fromisoformat": dt.datetime.fromisoformat,
    "datetime.date.fromisoformat": dt.date.fromisoformat,
    "base64.b64encode": base64.b64encode,
    "base64.b64decode": base64.b64decode,
    **{f"hashlib.{name}": getattr(hashlib, name) for name in ("md5", "sha1", "sha256", "sha512", "blake2b")},
}
_VALUES: dict[str, Any] = {
    "datetime.UTC": dt.UTC,
    "datetime.timezone.utc": dt.UTC,
    "None": None,
}
_CHANGING: dict[str, str] = {
    "uuid.uuid4": "UUID",
    "uuid.uuid1": "UUID",
    "datetime.datetime.now": "datetime",
    "datetime.datetime.utcnow": "naive datetime",
    "datetime.date.today": "date",
    "time.time": "float",
    "time.monotonic": "float",
}
_HASH = type(hashlib.sha256())
_FOLDED = (str, bytes, int, float, uuid.UUID, decimal.Decimal, dt.datetime, dt.date, dt.timedelta, _HASH)
_LARGEST = 100_000


def external_value(name: str) -> Value | None:
    """A constant of the standard library."""
    return Const(_VALUES[name]) if name in _VALUES else None


def wrap(found: Any) -> Value:
    """A Python object as a value."""
    if isinstance(found, list | tuple | set | frozenset):
        kind = "list" if isinstance(found, list) else "tuple" if isinstance(found, tuple) else "set"
        return ListV([wrap(each) for each in found], kind)
    if isinstance(found, dict):
        return DictV({key: wrap(each) for key, each in found.items()})
    return Const(found)


class Opaque(Exception):
    """The value is not known in full."""


def plain(value: Value) -> Any:
    """The Python object. Raises Opaque."""
    if isinstance(value, Const):
        return value.value
    if isinstance(value, ListV):
        items = [plain(each) for each in value.items]
        return items if value.kind == "list" else tuple(items) if value.kind == "tuple" else set(items)
    if isinstance(value, DictV):
        return {key: plain(each) for key, each in value.items.items()}
    raise Opaque


def computed(function: Callable[..., Any], args: Sequence[Value], kwargs: dict[str, Value]) -> Value | None:
    """The result of a pure function on known values; ``None`` where it has none."""
    try:
        result = function(*map(plain, args), **{name: plain(each) for name, each in kwargs.items()})
    except (Opaque, ArithmeticError, ValueError, TypeError, LookupError, AttributeError, MemoryError):
        return None
    if isinstance(result, str | bytes) and len(result) > _LARGEST:
        return None
    return wrap(result)


def binary(op: ast.operator, left: Value, right: Value) -> Value:
    """``left op right``."""
    if type(op) not in _BINARY:
        return UNKNOWN
    if isinstance(left, ListV) and isinstance(right, ListV) and isinstance(op, ast.Add):
        return ListV([*left.items, *right.items], left.kind)
    function, sign = _BINARY[type(op)]
    if _too_large(op, left, right):
        return UNKNOWN
    result = computed(function, [left, right], {})
    if result is not None:
        return result
    texts = emit(left), emit(right)
    if None in texts or isinstance(op, ast.Mod):
        return UNKNOWN
    return Sym(f"({texts[0]} {sign} {texts[1]})")


def _too_large(op: ast.operator, left: Value, right: Value) -> bool:
    if not isinstance(op, ast.Mult):
        return False
    return any(
        isinstance(each, Const) and isinstance(each.value, int) and each.value > _LARGEST for each in (left, right)
    ) and any(not (isinstance(each, Const) and isinstance(each.value, int | float)) for each in (left, right))


def compare(op: ast.cmpop, left: Value, right: Value) -> Value:
    """``left op right``, where it can be known."""
    if isinstance(op, ast.Is | ast.IsNot):
        return _identity(op, left, right)
    if isinstance(op, ast.In | ast.NotIn) and isinstance(right, DictV) and isinstance(left, Const):
        return Const((left.value in right.items) == isinstance(op, ast.In))
    return computed(_COMPARE[type(op)], [left, right], {}) or UNKNOWN


def _identity(op: ast.cmpop, left: Value, right: Value) -> Value:
    none = [isinstance(each, Const) and each.value is None for each in (left, right)]
    if any(none):
        other = right if none[0] else left
        if all(none):
            return Const(isinstance(op, ast.Is))
        if isinstance(other, Unknown | Sym | StandIn) and truth(other) is None:
            return UNKNOWN
        return Const(isinstance(op, ast.IsNot))
    if isinstance(left, Const) and isinstance(right, Const) and isinstance(right.value, bool):
        return Const((left.value is right.value) == isinstance(op, ast.Is))
    return UNKNOWN


def format_string(parts: Sequence[tuple[Value, str, str]]) -> Value:
    """An f-string: value, conversion and format of each part."""
    if all(isinstance(value, Const) for value, _, _ in parts):
        return (
            computed(
                lambda *values: "".join(_formatted(each, p) for each, p in zip(values, parts, strict=True)),
                [value for value, _, _ in parts],
                {},
            )
            or UNKNOWN
        )
    joined: list[ast.expr] = []
    for value, conversion, spec in parts:
        if isinstance(value, Const) and not spec and not conversion:
            joined.append(ast.Constant(str(value.value)))
            continue
        text = emit(value)
        if text is None or spec:
            return UNKNOWN
        inner = ast.parse(text, mode="eval").body
        joined.append(ast.FormattedValue(inner, ord(conversion) if conversion else -1))
    return Sym(ast.unparse(ast.fix_missing_locations(ast.Expression(ast.JoinedStr(joined)))), pytype="str")


def _formatted(value: Any, part: tuple[Value, str, str]) -> str:
    _, conversion, spec = part
    if conversion:
        value = repr(value) if conversion == "r" else ascii(value) if conversion == "a" else str(value)
    return format(value, spec)


def subscript(owner: Value, index: Value) -> Value:
    """``owner[index]``."""
    if isinstance(owner, DictV) and isinstance(index, Const):
        try:
            found = owner.items.get(index.value, UNKNOWN)
        except TypeError:
            return UNKNOWN
        return _named(found, owner, index)
    if isinstance(owner, ListV) and isinstance(index, Const) and isinstance(index.value, int):
        if -len(owner.items) <= index.value < len(owner.items):
            return _named(owner.items[index.value], owner, index)
        return UNKNOWN
    if isinstance(owner, Sym):
        texts = emit(owner), emit(index)
        return Sym(f"{texts[0]}[{texts[1]}]") if None not in texts else UNKNOWN
    return computed(operator.getitem, [owner, index], {}) or UNKNOWN


def _named(found: Value, owner: Value, index: Value) -> Value:
    """The element of something that has a name in the test can be said by that name."""
    if owner.src is not None and not owner.raw and isinstance(found, Const | Sym | DictV | ListV):
        return type(found)(**{**vars(found), "src": f"{owner.src}[{emit(index)}]"})
    return found


def method_call(owner: Value, name: str, args: Sequence[Value], kwargs: dict[str, Value]) -> Value:
    """A method of a constant, list or dict; lists and dicts change as they would."""
    if isinstance(owner, DictV):
        return _dict_method(owner, name, args)
    if isinstance(owner, ListV):
        if name == "append" and args:
            owner.items.append(args[0])
            return Const(None)
        if name == "extend" and args and isinstance(args[0], ListV):
            owner.items += args[0].items
            return Const(None)
        return UNKNOWN
    if isinstance(owner, Const) and name == "join" and args and isinstance(args[0], ListV):
        return _join(owner, args[0])
    if isinstance(owner, Const) and isinstance(owner.value, _FOLDED) and not name.startswith("_"):
        return (
            computed(lambda first, *rest, **named: getattr(first, name)(*rest, **named), [owner, *args], kwargs)
            or UNKNOWN
        )
    return UNKNOWN


def _join(owner: Const, items: ListV) -> Value:
    return computed(lambda glue, each: glue.join(each), [owner, items], {}) or UNKNOWN


def _dict_method(owner: DictV, name: str, args: Sequence[Value]) -> Value:
    if name == "get" and args and isinstance(args[0], Const):
        found = owner.items.get(args[0].value)
        return found if found is not None else args[1] if len(args) > 1 else Const(None)
    if name == "items":
        return ListV([ListV([wrap(key), each], "tuple") for key, each in owner.items.items()])
    if name == "keys":
        return ListV([wrap(key) for key in owner.items])
    if name == "values":
        return ListV(list(owner.items.values()))
    if name == "copy":
        return DictV(dict(owner.items))
    if name == "update" and args and isinstance(args[0], DictV):
        owner.items.update(args[0].items)
        return Const(None)
    if name == "pop" and args and isinstance(args[0], Const):
        return owner.items.pop(args[0].value, args[1] if len(args) > 1 else UNKNOWN)
    return UNKNOWN


def external_call(name: str, args: Sequence[Value], kwargs: dict[str, Value], text: str | None) -> Value:
    """A call of a function whose source is elsewhere. ``text`` says the call in the test's own words."""
    if name == "dict":
        base = dict(args[0].items) if args and isinstance(args[0], DictV) else None if args else {}
        return UNKNOWN if base is None else DictV({**base, **kwargs})
    if name in ("list", "tuple", "set", "iter", "frozenset") and len(args) <= 1:
        kind = "set" if name == "frozenset" else "list" if name == "iter" else name
        if not args:
            return ListV([], kind)
        return ListV(list(args[0].items), kind) if isinstance(args[0], ListV) else UNKNOWN
    if name in ("len", "enumerate", "zip", "range"):
        return _counted(name, args) or UNKNOWN
    if name in _CHANGING:
        return Sym(text or "", pure=False, pytype=_CHANGING[name])
    return _pure_call(name, args, kwargs, text) if name in _PURE else UNKNOWN


def _counted(name: str, args: Sequence[Value]) -> Value | None:
    if name == "len" and args:
        return Const(len(args[0].items)) if isinstance(args[0], ListV | DictV) else computed(len, args[:1], {})
    if name == "enumerate" and args and isinstance(args[0], ListV):
        return ListV([ListV([Const(i), each], "tuple") for i, each in enumerate(args[0].items)])
    if name == "zip" and all(isinstance(each, ListV) for each in args):
        rows = zip(*(each.items for each in args if isinstance(each, ListV)), strict=False)
        return ListV([ListV(list(row), "tuple") for row in rows])
    if name == "range":
        return computed(lambda *bounds: list(range(*bounds))[:100], args, {})
    return None


def _pure_call(name: str, args: Sequence[Value], kwargs: dict[str, Value], text: str | None) -> Value:
    found = computed(_PURE[name], args, kwargs)
    if found is not None:
        if (
            isinstance(found, Const) and not isinstance(found.value, str | bytes | int | float | bool | None)
        ) or name == "json.dumps":
            found.src = text
        return found
    texts = [emit(each) for each in args]
    if name in ("str", "int", "float", "json.dumps", "uuid.UUID") and len(texts) == 1 and texts[0] and not kwargs:
        return Sym(f"{name}({texts[0]})", pytype={"json.dumps": "str", "uuid.UUID": "UUID"}.get(name, name))
    return UNKNOWN
