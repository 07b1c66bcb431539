"""What is known of a value while a test is read: enough to say it again in the test's own words.

Nothing is executed. A value is a constant, a collection of values, something that only the test's own words can say
(:class:`Sym`), a stand-in, a piece of visible code, or :data:`UNKNOWN`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from test_framework.migration.rewriter.modules import Module

__all__ = [
    "UNKNOWN",
    "ArgRef",
    "BoundMethod",
    "ClassV",
    "Const",
    "CountRef",
    "DictV",
    "Func",
    "Instance",
    "ListV",
    "ModuleV",
    "Root",
    "StandIn",
    "Sym",
    "Unknown",
    "Value",
    "Yielded",
    "emit",
    "forget_names",
    "repr_of",
    "truth",
]


@dataclass(eq=False)
class Value:
    """``src`` is how the test itself says this value, if it has a name for it; ``raw`` what a driver would return."""

    src: str | None = field(default=None, kw_only=True)
    raw: bool = field(default=False, kw_only=True)


@dataclass(eq=False)
class Unknown(Value):
    """Nothing is known."""


UNKNOWN = Unknown()


@dataclass(eq=False)
class Const(Value):
    value: Any


@dataclass(eq=False)
class ListV(Value):
    items: list[Value]
    kind: str = "list"


@dataclass(eq=False)
class DictV(Value):
    items: dict[Any, Value]


@dataclass(eq=False)
class Sym(Value):
    """An expression in the test's words. One that is not ``pure`` gives another value each time it is evaluated.

    ``pattern`` is what a text matches of which only parts are known.
    """

    text: str
    pure: bool = True
    pytype: str | None = None
    pattern: str = ""


@dataclass(eq=False)
class Func(Value):
    module: Module
    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
    closure: dict[str, Value] | None = None


@dataclass(eq=False)
class ClassV(Value):
    module: Module
    node: ast.ClassDef


@dataclass(eq=False)
class ModuleV(Value):
    """A module by its dotted name; ``module`` is ``None`` where its source is not visible."""

    name: str
    module: Module | None = None
    # What an exception was made with.
    arguments: tuple[Value, ...] = ()


@dataclass(eq=False)
class Instance(Value):
    cls: ClassV
    attributes: dict[str, Value] = field(default_factory=dict)


@dataclass(eq=False)
class BoundMethod(Value):
    owner: Value
    name: str


@dataclass(eq=False)
class Yielded(Value):
    """What a generator gives first: a context manager made of it gives this when it is entered."""

    value: Value


@dataclass(eq=False)
class Root:
    """One mock object: where it is made and what is told to it."""

    node: ast.AST
    scope: str
    how: str
    target: str = ""
    spec: str = ""
    names: list[str] = field(default_factory=list)
    results: dict[tuple[str, ...], Value] = field(default_factory=dict)
    effects: dict[tuple[str, ...], Value] = field(default_factory=dict)
    kind: str | None = None
    statement: ast.stmt | None = None
    # What the mock became a part of, if it was only made for that.
    parent: Root | None = None
    parent_path: tuple[str, ...] = ()
    # Calls of code that is not in sight and takes the mock.
    escapes: list[str] = field(default_factory=list)
    awaitable: bool = False
    maker: str = ""
    # The fixture whose value it is.
    given_by: str = ""
    # Stands in for somebody else's service.
    foreign: bool = False
    # Stands in for what a client of a service of ours is answered.
    answer: bool = False


@dataclass(eq=False)
class StandIn(Value):
    """A mock, or what is reached from it: ``path`` holds attribute names, and ``()`` for a call."""

    root: Root
    path: tuple[str, ...] = ()

    def to(self, *steps: str) -> StandIn:
        return StandIn(self.root, (*self.path, *steps))


@dataclass(eq=False)
class ArgRef(Value):
    """What a mock was called with: ``which`` is a position, a keyword, or ``None`` for all of them."""

    root: Root
    path: tuple[str, ...]
    which: int | str | None = None
    part: str = "call"
    index: int = -1


@dataclass(eq=False)
class CountRef(Value):
    """How often a mock was called, or whether it was."""

    root: Root
    path: tuple[str, ...]
    what: str


def truth(value: Value) -> bool | None:
    """Whether it is true, where that is known."""
    if isinstance(value, Const):
        return bool(value.value)
    if isinstance(value, DictV | ListV):
        return bool(value.items)
    if isinstance(value, Instance | Func | ClassV | ModuleV) or (isinstance(value, StandIn) and "()" not in value.path):
        return True
    return None


def emit(value: Value) -> str | None:
    """The value in words that are valid in the test; ``None`` when it cannot be said there."""
    if value.src is not None:
        return value.src
    if isinstance(value, Const):
        return repr_of(value.value)
    if isinstance(value, Sym):
        return value.text if value.pure else None
    if isinstance(value, ListV):
        return _emit_list(value)
    if isinstance(value, DictV):
        items = [(repr_of(key), emit(each)) for key, each in value.items.items()]
        return "{" + ", ".join(f"{key}: {each}" for key, each in items) + "}" if all(e for _, e in items) else None
    return None


def _emit_list(value: ListV) -> str | None:
    items = [emit(each) for each in value.items]
    if any(each is None for each in items):
        return None
    inner = ", ".join(str(each) for each in items)
    if value.kind == "tuple":
        return f"({inner},)" if len(items) == 1 else f"({inner})"
    if value.kind == "set":
        return f"{{{inner}}}" if items else "set()"
    return f"[{inner}]"


def repr_of(value: Any) -> str:
    """``repr`` with the quotes that formatters prefer."""
    if isinstance(value, str):
        text = repr(value)
        if text.startswith("'") and '"' not in text:
            return '"' + text[1:-1].replace("\\'", "'") + '"'
        return text
    return repr(value)


def forget_names(value: Value, local: Iterable[str]) -> Value:
    """The value as seen from outside of a function: names of that function say nothing there."""
    names = set(local)
    if isinstance(value, ListV):
        return replace(value, src=None, items=[forget_names(each, names) for each in value.items])
    if isinstance(value, DictV):
        return replace(value, src=None, items={key: forget_names(each, names) for key, each in value.items.items()})
    if isinstance(value, Const):
        return replace(value, src=None)
    if isinstance(value, Sym):
        if not value.pure or _names(value.src or value.text) & names:
            return Sym("", pure=False, pytype=value.pytype)
        return value
    return value


def _names(text: str) -> set[str]:
    return {node.id for node in ast.walk(ast.parse(text, mode="eval")) if isinstance(node, ast.Name)} if text else set()
