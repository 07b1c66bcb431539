"""What the arguments of a mock's maker say: the target, the spec, whether a decorator hands its mock on."""

from __future__ import annotations

import ast
import re
from typing import NamedTuple

from test_framework.migration import catalog
from test_framework.migration.resolving import constant_text, literal, resolve, spelled
from test_framework.migration.scopes import Scope

__all__ = ["Read", "answers", "argument", "injected", "is_memory_sqlite", "named", "read"]

BEHAVIOUR = frozenset(
    (
        "return_value",
        "side_effect",
        "spec",
        "spec_set",
        "wraps",
        "name",
        "new",
        "new_callable",
        "autospec",
        "create",
        "unsafe",
        "raising",
        "instance",
        "read_data",
    )
)
"""Keywords of the makers themselves; any other keyword names an attribute of the mock."""
_MEMORY_URL = re.compile(
    r"sqlite(\+\w+)?:(/{2,3})?(:memory:)?(\?[^/]*)?|sqlite(\+\w+)?:/{2,3}file:[^?]*\?.*mode=memory.*"
)
_MEMORY_NAME = re.compile(r":memory:|file::memory:.*|file:[^?]*\?.*mode=memory.*")
_CONNECTS = re.compile(r"(engine|connect(ion)?|database|db|sqlite\w*|bind|init)$", re.IGNORECASE)


class Read(NamedTuple):
    """What the arguments say."""

    target: str = ""
    spec: str = ""
    modules: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()


def argument(call: ast.Call, index: int, *keywords: str) -> ast.expr | None:
    """The argument at ``index`` or by one of ``keywords``."""
    if 0 <= index < len(call.args):
        return None if any(isinstance(one, ast.Starred) for one in call.args[: index + 1]) else call.args[index]
    for keyword in call.keywords:
        if keyword.arg in keywords:
            return keyword.value
    return None


def named(expression: ast.expr | None, scope: Scope) -> str:
    """A dotted name for what an expression refers to: where it came from, else how it is spelled."""
    if expression is None:
        return ""
    dotted = resolve(expression, scope)
    text = dotted if dotted is not None and dotted not in (catalog.MOCKER, catalog.MONKEYPATCH) else spelled(expression)
    return text.replace("()", "").lstrip(".")


def read(kind: str, call: ast.Call, scope: Scope) -> Read:
    """What a call of a maker of this kind says about what it stands in for."""
    base = kind.removeprefix("mocker.").removeprefix("monkeypatch.")
    if base in catalog.MOCK_CLASSES:
        return _mock(call, scope, positional=base != "PropertyMock")
    reader = _READERS.get(base)
    return reader(call, scope) if reader is not None else Read()


def answers(kind: str, call: ast.Call) -> list[str]:
    """The variables that a maker is told to answer with, or to put in the place of its target."""
    index = {"patch": 1, "patch.object": 2, "setattr": 2}.get(
        kind.rpartition("mocker.")[2].rpartition("monkeypatch.")[2]
    )
    given = [word.value for word in call.keywords if word.arg in ("return_value", "side_effect", "new")]
    given += call.args[index : index + 1] if index is not None else []
    return [value.id for value in given if isinstance(value, ast.Name)]


def _spec(call: ast.Call, scope: Scope, index: int = -1) -> str:
    value = argument(call, index, "spec", "spec_set", "wraps")
    if value is None and (auto := argument(call, -1, "autospec")) is not None and not isinstance(auto, ast.Constant):
        value = auto
    if value is None and (factory := argument(call, -1, "new_callable", "new")) is not None:
        dotted = resolve(factory, scope)
        value = None if dotted is None or catalog.known(dotted.removesuffix("()")) else factory
    return "" if value is None or isinstance(value, ast.Constant | ast.List | ast.Tuple) else named(value, scope)


def _attributes(call: ast.Call) -> tuple[str, ...]:
    found = [word.arg for word in call.keywords if word.arg and word.arg not in BEHAVIOUR]
    spec = argument(call, 0, "spec", "spec_set")
    if isinstance(spec, ast.List | ast.Tuple):
        found += [text for one in spec.elts if (text := literal(one))]
    for word in call.keywords:
        if word.arg is None and isinstance(word.value, ast.Dict):
            found += [text.partition(".")[0] for key in word.value.keys if (text := literal(key))]
    return tuple(found)


def _mock(call: ast.Call, scope: Scope, *, positional: bool) -> Read:
    label = literal(argument(call, -1, "name"))
    spec = _spec(call, scope, 0 if positional else -1)
    return Read(spec=spec, names=(label,) if label else (), attributes=_attributes(call))


def _patch(call: ast.Call, scope: Scope) -> Read:
    target = constant_text(argument(call, 0, "target"), scope)
    if target is None:
        target = named(argument(call, 0, "target"), scope)
    return Read(target=_clean(target), spec=_spec(call, scope), attributes=_attributes(call))


def _patch_object(call: ast.Call, scope: Scope) -> Read:
    owner = named(argument(call, 0, "target", "obj"), scope)
    attribute = constant_text(argument(call, 1, "attribute", "name"), scope) or "*"
    return Read(target=f"{owner or '*'}.{attribute}", spec=_spec(call, scope))


def _patch_dict(call: ast.Call, scope: Scope) -> Read:
    first = argument(call, 0, "in_dict")
    target = constant_text(first, scope) or named(first, scope)
    values = argument(call, 1, "values")
    keys: tuple[str, ...] = ()
    if target == "sys.modules" and isinstance(values, ast.Dict):
        keys = tuple(text for key in values.keys if (text := literal(key)))
    return Read(target="" if keys else target, modules=keys)


def _patch_multiple(call: ast.Call, scope: Scope) -> Read:
    owner = constant_text(argument(call, 0, "target"), scope) or named(argument(call, 0, "target"), scope)
    names = [word.arg for word in call.keywords if word.arg and word.arg not in BEHAVIOUR]
    return Read(target=f"{owner}.{names[0]}" if names else owner, names=tuple(f"{owner}.{name}" for name in names))


def _setattr(call: ast.Call, scope: Scope) -> Read:
    text = constant_text(argument(call, 0, "target"), scope)
    if text is not None:
        return Read(target=_clean(text))
    attribute = constant_text(argument(call, 1, "name"), scope) or "*"
    return Read(target=f"{named(argument(call, 0, 'target'), scope) or '*'}.{attribute}")


def _setitem(call: ast.Call, scope: Scope) -> Read:
    owner = named(argument(call, 0, "dic"), scope)
    key = constant_text(argument(call, 1, "name"), scope)
    if owner == "sys.modules" and key:
        return Read(modules=(key,))
    return Read(target=owner, names=(key,) if key else ())


def _setenv(call: ast.Call, scope: Scope) -> Read:
    return Read(target=f"os.environ[{constant_text(argument(call, 0, 'name'), scope) or '*'}]")


def _seal(call: ast.Call, _scope: Scope) -> Read:
    value = argument(call, 0, "mock")
    return Read(names=(spelled(value),) if value is not None else ())


def _stub(call: ast.Call, scope: Scope) -> Read:
    return Read(names=(constant_text(argument(call, 0, "name"), scope) or "",))


def _clean(target: str) -> str:
    return target.removeprefix("__name__.") if target != "__name__" else target


_READERS = {
    "patch": _patch,
    "patch.object": _patch_object,
    "patch.dict": _patch_dict,
    "patch.multiple": _patch_multiple,
    "spy": _patch_object,
    "stub": _stub,
    "async_stub": _stub,
    "setattr": _setattr,
    "delattr": _setattr,
    "setitem": _setitem,
    "delitem": _setitem,
    "setenv": _setenv,
    "delenv": _setenv,
    "seal": _seal,
}


def injected(kind: str, decorator: ast.expr) -> bool:
    """Whether this decorator hands its mock to the decorated function as one more positional argument."""
    if not isinstance(decorator, ast.Call):
        return kind == "aioresponses"
    if kind in ("patch", "patch.object"):
        new = argument(decorator, 1 if kind == "patch" else 2, "new")
        return new is None or (isinstance(new, ast.Attribute | ast.Name) and spelled(new).endswith("DEFAULT"))
    if kind == "requests_mock":
        return argument(decorator, -1, "kw") is None
    return kind == "aioresponses" and argument(decorator, -1, "param") is None


def is_memory_sqlite(call: ast.Call, dotted: str | None, scope: Scope) -> bool:
    """Whether this call opens a SQLite database in memory."""
    name = (dotted or spelled(call.func)).replace("()", "")
    last = name.rpartition(".")[2]
    if not _CONNECTS.search(last):
        return False
    about_sqlite = "sqlite" in name.lower() or name.split(".")[0] in ("apsw", "peewee", "playhouse")
    for value in (*call.args[:2], *(word.value for word in call.keywords)):
        text = constant_text(value, scope)
        if text is None:
            continue
        if _MEMORY_URL.fullmatch(text) or (_MEMORY_NAME.fullmatch(text) and (about_sqlite or last == "bind")):
            return True
    return False


def is_memory_url(expression: ast.expr) -> bool:
    """Whether this is the text of an address of a SQLite database in memory."""
    text = literal(expression)
    return text is not None and text.startswith("sqlite") and _MEMORY_URL.fullmatch(text) is not None
