"""What can be computed without running anybody's code: operators, and a few pure functions of the standard library."""

from __future__ import annotations

import ast
import operator
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

__all__ = ["Opaque", "binary", "compare", "computed", "format_string", "subscript", "wrap"]

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
_LARGEST = 100_000


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
            return _pattern(parts)
        inner = ast.parse(text, mode="eval").body
        joined.append(ast.FormattedValue(inner, ord(conversion) if conversion else -1))
    return Sym(ast.unparse(ast.fix_missing_locations(ast.Expression(ast.JoinedStr(joined)))), pytype="str")


def _pattern(parts: Sequence[tuple[Value, str, str]]) -> Value:
    """A text of which some parts are not known."""
    shown = [str(value.value) if isinstance(value, Const) else "*" for value, _, _ in parts]
    if not any(isinstance(value, Const) for value, _, _ in parts) or any(sign in "".join(shown) for sign in "[]?\\"):
        return UNKNOWN
    return Sym("", pure=False, pytype="str", pattern="".join(shown))


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
