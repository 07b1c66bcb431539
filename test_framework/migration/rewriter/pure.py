"""Calls that can be computed: methods of constants, pure functions of the standard library."""

from __future__ import annotations

import base64
import datetime as dt
import decimal
import hashlib
import json
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from test_framework.migration.rewriter.events import Raised
from test_framework.migration.rewriter.folding import computed, wrap
from test_framework.migration.rewriter.values import (
    UNKNOWN,
    Const,
    DictV,
    ListV,
    ModuleV,
    StandIn,
    Sym,
    Value,
    emit,
)

__all__ = ["external_call", "external_value", "method_call"]


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


_TYPES = frozenset({"str", "dict", "list", "tuple", "set", "bytes", "float", "int"})


_HASH = type(hashlib.sha256())


_FOLDED = (str, bytes, int, float, uuid.UUID, decimal.Decimal, dt.datetime, dt.date, dt.timedelta, _HASH)


def external_value(name: str) -> Value | None:
    """A constant of the standard library."""
    return Const(_VALUES[name]) if name in _VALUES else None


def method_call(owner: Value, name: str, args: Sequence[Value], kwargs: dict[str, Value]) -> Value:
    """A method of a constant, list or dict; lists and dicts change as they would."""
    if isinstance(owner, DictV):
        return _dict_method(owner, name, args)
    if isinstance(owner, ListV):
        if name in ("append", "add") and args:
            owner.items.append(args[0])
            return Const(None)
        if name in ("remove", "discard") and args and isinstance(args[0], StandIn):
            owner.items[:] = [each for each in owner.items if not _is_it(each, args[0])]
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


def _is_it(one: Value, other: StandIn) -> bool:
    return isinstance(one, StandIn) and one.root is other.root and one.path == other.path


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
    if name == "setdefault" and args and isinstance(args[0], Const):
        return owner.items.setdefault(args[0].value, args[1] if len(args) > 1 else Const(None))
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
    if name == "isinstance" and len(args) == 2:
        return _is_instance(args[0], args[1])
    if name in ("len", "enumerate", "zip", "range"):
        return _counted(name, args) or UNKNOWN
    if name in _CHANGING:
        return Sym(text or "", pure=False, pytype=_CHANGING[name])
    return _pure_call(name, args, kwargs, text) if name in _PURE else UNKNOWN


def _is_instance(value: Value, kind: Value) -> Value:
    found = "dict" if isinstance(value, DictV) else value.kind if isinstance(value, ListV) else ""
    if value.raw:
        return UNKNOWN
    if isinstance(value, Const) and not isinstance(value.value, bool):
        found = type(value.value).__name__
    asked = kind.name if isinstance(kind, ModuleV) else ""
    return Const(found == asked) if found and asked in _TYPES else UNKNOWN


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
    if found is None and name == "json.loads" and args and isinstance(args[0], Const):
        raise Raised("JSONDecodeError")
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
