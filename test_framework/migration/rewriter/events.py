"""What was seen while a test was read, in the order in which it would happen."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field

from test_framework.migration.rewriter.values import DictV, ListV, Root, StandIn, Value

__all__ = ["CannotTell", "Check", "Finish", "Frame", "Op", "Place", "Raised", "Setup", "Trace"]


class CannotTell(Exception):
    """A person must decide; the text says what."""


class Finish(Exception):
    """A ``return`` was reached."""

    def __init__(self, value: Value) -> None:
        self.value = value


class Raised(Exception):
    """The code that is read raises an exception called ``name``."""

    def __init__(self, name: str) -> None:
        self.name = name


@dataclass(frozen=True)
class Place:
    """``statement`` as written; ``anchor`` is the statement of the function's own block that holds it."""

    statement: ast.stmt
    anchor: ast.stmt
    scope: str


@dataclass(eq=False)
class Frame:
    """A function that is read. ``kind``: test, fixture, setup, module or code."""

    module: object
    env: dict[str, Value]
    kind: str
    scope: str = ""
    place: Place | None = None
    locals: set[str] = field(default_factory=set)


@dataclass(eq=False)
class Setup:
    """Something told to a mock: the statement can go when the mock goes."""

    root: Root
    path: tuple[str, ...]
    what: str
    value: Value
    place: Place


@dataclass(eq=False)
class Op:
    """A call that reaches the service: ``method`` of the driver with ``args``."""

    root: Root
    path: tuple[str, ...]
    args: list[Value]
    kwargs: dict[str, Value]
    place: Place
    result: Value | None = None
    configured: bool = False
    awaited: bool = False
    # Its result is the target of ``with``.
    entered: bool = False
    used: bool = False
    raises: str = ""
    conditional: bool = False
    complete_arguments: bool = True
    node: ast.Call | None = None

    @property
    def method(self) -> str:
        return next((step for step in reversed(self.path) if step != "()"), "")


@dataclass(eq=False)
class Check:
    """An assertion about the calls of a mock, spelled ``what``."""

    root: Root
    path: tuple[str, ...]
    what: str
    args: list[Value]
    kwargs: dict[str, Value]
    place: Place
    node: ast.AST
    refs: list[tuple[ast.expr, Value]] = field(default_factory=list)
    # The same with the parts that they are made of.
    parts: list[tuple[ast.expr, Value]] = field(default_factory=list)

    @property
    def method(self) -> str:
        return next((step for step in reversed(self.path) if step != "()"), "")

    def calls(self) -> Iterator[tuple[list[Value], dict[str, Value]]]:
        """Of ``assert_has_calls`` and its like: the arguments of each call. Raises CannotTell for what is no call."""
        found = self.args[0] if self.args else None
        for each in found.items if isinstance(found, ListV) else [None]:
            if not isinstance(each, ListV) or each.kind != "call":
                raise CannotTell("the calls that are asserted cannot be told from the source")
            args, kwargs = each.items
            assert isinstance(args, ListV) and isinstance(kwargs, DictV)
            yield args.items, kwargs.items


@dataclass(eq=False)
class Trace:
    """Everything about one test."""

    roots: list[Root] = field(default_factory=list)
    setups: list[Setup] = field(default_factory=list)
    ops: list[Op] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    # Names that hold mocks, by the scope (function) that binds them.
    bindings: dict[tuple[str, str], Root] = field(default_factory=dict)
    # All that a name is bound to, in turn; None for what is no mock.
    bound: dict[tuple[str, str], list[Root | None]] = field(default_factory=dict)
    # Names for what is reached from a mock.
    aliases: dict[tuple[str, str], StandIn] = field(default_factory=dict)
    # Statements that only prepare mocks or keep what they were called with.
    leftovers: list[Place] = field(default_factory=list)
    # Expressions that give a driver's record where the test compares with a dict.
    records: list[tuple[ast.expr, str]] = field(default_factory=list)
    # Calls that run a coroutine in a plain test.
    runs: list[ast.Call] = field(default_factory=list)
    # Places where a mock is put in for something of the code under test.
    patches: list[Patch] = field(default_factory=list)
    fixtures: set[str] = field(default_factory=set)
    order: list[Op | Setup | Check] = field(default_factory=list)
    whole_compare: bool = False
    # Whether each plain ``assert`` of the test holds; None where it is not known.
    asserts: list[tuple[ast.Assert, bool | None]] = field(default_factory=list)
    # Whether each block that waits for an error gets one.
    expected: list[tuple[ast.stmt, bool]] = field(default_factory=list)
    # The code in sight serves WebSockets.
    serves: bool = False
    # What ends the test.
    raised: str = ""
    depends: dict[str, set[str]] = field(default_factory=dict)


@dataclass(eq=False)
class Patch:
    """One ``patch``: as a decorator, a ``with`` item, ``mocker.patch`` or ``monkeypatch.setattr``."""

    root: Root | None
    how: str
    node: ast.AST
    target: str
    target_text: str
    scope: str
    parameter: str | None = None
    place: Place | None = None
    whole: ast.AST | None = None
    has_new: bool = False
