"""Reads one test with all the code that it calls, as far as that is visible, and notes what reaches its mocks."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from test_framework.migration.rewriter import pure
from test_framework.migration.rewriter.calling import call, call_function, entered
from test_framework.migration.rewriter.classes import member
from test_framework.migration.rewriter.events import CannotTell, Check, Finish, Frame, Op, Place, Raised, Trace
from test_framework.migration.rewriter.expressions import attribute_of, evaluate
from test_framework.migration.rewriter.http_requests import answer_class
from test_framework.migration.rewriter.modules import Library, Module
from test_framework.migration.rewriter.naming import bind
from test_framework.migration.rewriter.statements import run_block
from test_framework.migration.rewriter.values import (
    UNKNOWN,
    ArgRef,
    BoundMethod,
    ClassV,
    Const,
    CountRef,
    DictV,
    Func,
    Instance,
    ListV,
    ModuleV,
    StandIn,
    Sym,
    Value,
)

if TYPE_CHECKING:
    from test_framework.migration.rewriter.http_data import Service

__all__ = ["Machine"]

_STEPS = 60_000
_DEPTH = 24


class Machine:
    """State of reading one test. ``trace`` is what it comes to."""

    def __init__(self, module: Module, library: Library) -> None:
        self.module = module
        self.library = library
        self.trace = Trace()
        self.own_place: Place | None = None
        self.refs: list[tuple[ast.expr, Value]] = []
        self.overrides: dict[tuple[str, str], Value] = {}
        self.own_modules = [module]
        self.visited: list[ast.AST] = []
        self.depth = 0
        self._steps = 0
        self._maybe = 0
        self._globals: dict[tuple[str, str], Value] = {}
        self._ops: dict[int, Op] = {}
        self.class_values: dict[tuple[int, str], Value] = {}
        self.service: Service | None = None
        self._at_once: set[int] = set()

    # What the readers of expressions and statements ask for.

    def step(self) -> None:
        self._steps += 1
        if self._steps > _STEPS:
            raise CannotTell("the test and what it calls are too long to follow")

    def problem(self, text: str) -> None:
        if text not in self.trace.problems:
            self.trace.problems.append(text)

    @contextmanager
    def maybe(self) -> Iterator[None]:
        """What is read meanwhile may or may not happen."""
        self._maybe += 1
        try:
            yield
        finally:
            self._maybe -= 1

    def perhaps(self, read: Callable[[], Value]) -> Value:
        with self.maybe():
            return read()

    @contextmanager
    def deeper(self) -> Iterator[None]:
        self.depth += 1
        try:
            if self.depth > _DEPTH:
                raise CannotTell("the calls are nested too deep to follow")
            yield
        finally:
            self.depth -= 1

    def note(self, op: Op) -> Op:
        """One call reached a service."""
        op.conditional = self._maybe > 0
        self.trace.ops.append(op)
        self.trace.order.append(op)
        if op.node is not None:
            self._ops[id(op.node)] = op
        return op

    def answer(self, op: Op, told: Value) -> Value:
        """What a mock gives: what it was told to, unless the test is read with the answers of a service."""
        return told if self.service is None else self.service.answer(self, op, told)

    def called_answer(self, cls: ClassV, node: ast.Call) -> None:
        """A method of an answer is called, which gives its value at once."""
        if cls.node is answer_class().node:
            self._at_once.add(id(node))

    def call_method(self, owner: Instance, name: str) -> Value:
        """The value of a method without arguments."""
        found = member(self, owner.cls, name)
        if found is None or not isinstance(found[1], ast.FunctionDef | ast.AsyncFunctionDef):
            return UNKNOWN
        return call_function(self, Func(found[0].module, found[1]), [owner], {}, None)

    def awaited(self, node: ast.expr) -> None:
        if id(node) in self._at_once:
            self.problem("the code awaits what httpx's answers give at once: it is written for another client")
        if id(node) in self._ops:
            self._ops[id(node)].awaited = True

    def opened(self, node: ast.expr) -> None:
        if id(node) in self._ops:
            self._ops[id(node)].entered = True

    def unused(self, node: ast.expr) -> None:
        inner = node.value if isinstance(node, ast.Await) else node
        if id(inner) in self._ops:
            self._ops[id(inner)].used = False

    def call(self, node: ast.Call, frame: Frame) -> Value:
        return call(self, node, frame)

    def call_function(self, function: Func, args: list[Value]) -> Value:
        return call_function(self, function, args, {}, None)

    def entered(self, item: ast.withitem, frame: Frame, *, is_async: bool) -> Value:
        return entered(self, item, frame, is_async=is_async)

    def bind(self, target: ast.expr, value: Value, frame: Frame) -> None:
        bind(self, target, value, frame)

    def evaluate(self, node: ast.expr, frame: Frame) -> Value:
        return evaluate(self, node, frame)

    def attribute(self, owner: Value, name: str, frame: Frame) -> Value:
        return attribute_of(self, owner, name, frame)

    def run_block(self, body: Sequence[ast.stmt], frame: Frame, *, top: bool = False) -> None:
        run_block(self, body, frame, top=top)

    def decorated(self, function: Func, frame: Frame) -> Value:
        """The function as its visible decorators make it; those of libraries are taken to be transparent."""
        made: Value = function
        if isinstance(function.node, ast.Lambda):
            return made
        for decorator in reversed(function.node.decorator_list):
            wrapper = evaluate(self, decorator, frame)
            if isinstance(wrapper, Func):
                result = call_function(self, wrapper, [made], {}, None)
                made = result if isinstance(result, Func) else made
        return made

    def compared(self, node: ast.Compare, values: list[Value]) -> None:
        """A record of the driver is no dict: the test must make one of it to compare it with one."""
        if len(values) != 2 or not isinstance(node.ops[0], ast.Eq | ast.NotEq | ast.Is | ast.IsNot):
            return
        for (value, other), expr in zip((values, values[::-1]), (node.left, node.comparators[0]), strict=True):
            if isinstance(value, DictV) and isinstance(other, DictV):
                self.trace.whole_compare = True
            if (
                isinstance(value, ListV)
                and isinstance(other, ListV)
                and value.items
                and isinstance(value.items[0], DictV)
            ):
                self.trace.whole_compare = True
            if not value.raw or (other.raw and isinstance(other, Const)):
                continue
            if isinstance(node.ops[0], ast.Is | ast.IsNot) and isinstance(value, DictV | ListV):
                if not isinstance(other, Const):
                    self.problem("the test compares a row by identity")
            elif isinstance(value, DictV):
                self.trace.records.append((expr, "row"))
            elif isinstance(value, ListV) and value.items and isinstance(value.items[0], DictV):
                self.trace.records.append((expr, "rows"))

    # Names.

    def lookup(self, module: Module, name: str) -> Value:
        """A name of a module's top level, or a built-in one."""
        key = (module.name, name)
        if key in self.overrides:
            return self.overrides[key]
        if key in self._globals:
            return self._globals[key]
        self._globals[key] = UNKNOWN  # in case it leads back here
        found = self._global(module, name)
        self._globals[key] = found
        return found

    def _global(self, module: Module, name: str) -> Value:
        statement = module.definitions.get(name)
        frame = Frame(module, {}, "module", scope="<module>")
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            return self.decorated(Func(module, statement), frame)
        if isinstance(statement, ast.ClassDef):
            return ClassV(module, statement)
        if isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value is not None:
            try:
                value = evaluate(self, statement.value, frame)
            except (Finish, Raised):
                return UNKNOWN
            named = module is self.module and isinstance(value, Const | DictV | ListV | Sym)
            return replace(value, src=name) if named else value
        if name in module.imports:
            return self.resolve(module.imports[name])
        if name == "__name__":
            return Const(module.name)
        return ModuleV(name) if hasattr(builtins, name) else UNKNOWN

    def resolve(self, dotted: str) -> Value:
        """What a dotted name means."""
        module = self.library.find(dotted)
        if module is not None:
            return ModuleV(dotted, module)
        parent, _, name = dotted.rpartition(".")
        if parent:
            owner = self.library.find(parent)
            if owner is not None:
                return self.lookup(owner, name)
            if (parent, name) in self.overrides:
                return self.overrides[parent, name]
        return pure.external_value(dotted) or ModuleV(dotted)

    def attribute_of_module(self, owner: ModuleV, name: str) -> Value:
        if owner.module is None:
            if owner.name in ("mocker", "monkeypatch"):
                return BoundMethod(owner, name)
            key = (owner.name, name)
            return (
                self.overrides.get(key)
                or pure.external_value(f"{owner.name}.{name}")
                or ModuleV(f"{owner.name}.{name}")
            )
        found = self.lookup(owner.module, name)
        if found is UNKNOWN:
            inner = self.library.find(f"{owner.name}.{name}")
            return ModuleV(f"{owner.name}.{name}", inner) if inner else UNKNOWN
        return found

    def forget_refs(self, frame: Frame) -> None:
        if frame.kind in ("test", "fixture", "setup"):
            self.refs.clear()

    def check_refs(self, statement: ast.Assert | ast.Assign) -> None:
        """An ``assert`` about, or a name for what a mock was called with, or how often."""
        assert self.own_place is not None
        inner = {id(part) for node, _ in self.refs for part in ast.walk(node) if part is not node}
        refs = [(node, value) for node, value in self.refs if id(node) not in inner]
        for _, value in refs[:1]:
            assert isinstance(value, ArgRef | CountRef)
            found = Check(value.root, value.path, "refs", [], {}, self.own_place, statement, refs, list(self.refs))
            self.trace.checks.append(found)
            self.trace.order.append(found)

    def check(self, what: str, standin: StandIn, args: list[Value], kwargs: dict[str, Value], node: ast.AST) -> None:
        """The test asserts something about the calls of a mock."""
        assert self.own_place is not None
        found = Check(standin.root, standin.path, what, args, kwargs, self.own_place, node)
        self.trace.checks.append(found)
        self.trace.order.append(found)
