"""A test with everything it stands on: fixtures, conftests, set-up methods and decorators."""

from __future__ import annotations

import ast
import contextlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from test_framework.migration.rewriter.events import CannotTell, Finish, Frame, Place, Raised, Trace
from test_framework.migration.rewriter.machine import Machine
from test_framework.migration.rewriter.making import make_patch
from test_framework.migration.rewriter.mocks import is_patch, origin_of
from test_framework.migration.rewriter.modules import Library, Module
from test_framework.migration.rewriter.values import (
    UNKNOWN,
    ClassV,
    Const,
    Instance,
    ModuleV,
    StandIn,
    Sym,
    Value,
    forget_names,
)

__all__ = ["FixtureDef", "Function", "TestCase", "find_tests", "read_test"]

Function = ast.FunctionDef | ast.AsyncFunctionDef
_SERVER_SIDE = re.compile(r"(fastapi|starlette)(\.websockets)?\.WebSocket")
_SETUPS = ("setup_method", "setUp", "asyncSetUp", "setup")


@dataclass(frozen=True)
class TestCase:
    """One test function, and the class it is in."""

    __test__ = False

    node: Function
    cls: ast.ClassDef | None

    @property
    def scope(self) -> str:
        return f"{self.cls.name}.{self.node.name}" if self.cls else self.node.name


@dataclass(frozen=True)
class FixtureDef:
    """A fixture: the module that defines it, and the class if it is a method."""

    module: Module
    node: Function
    cls: ast.ClassDef | None = None
    name: str = ""
    foreign: bool = False

    @property
    def scope(self) -> str:
        place = f"{self.cls.name}.{self.node.name}" if self.cls else self.node.name
        return f"{self.module.name}::{place}" if self.foreign else place


@dataclass
class Fixtures:
    """All that a test can ask for by name, nearest definition last."""

    found: dict[str, FixtureDef] = field(default_factory=dict)
    autouse: list[FixtureDef] = field(default_factory=list)

    def add(
        self, module: Module, body: Sequence[ast.stmt], cls: ast.ClassDef | None = None, *, foreign: bool = False
    ) -> None:
        for statement in body:
            if isinstance(statement, Function):
                options = fixture_options(statement, module)
                if options is None:
                    continue
                name = options.get("name") or statement.name
                found = FixtureDef(module, statement, cls, str(name), foreign)
                self.found[str(name)] = found
                if options.get("autouse"):
                    self.autouse.append(found)


def fixture_options(node: Function, module: Module) -> dict[str, object] | None:
    """Options of ``@pytest.fixture``; ``None`` for a function that is none."""
    for decorator in node.decorator_list:
        called = decorator.func if isinstance(decorator, ast.Call) else decorator
        if origin_of(called, module.imports) in ("pytest.fixture", "pytest_asyncio.fixture"):
            if not isinstance(decorator, ast.Call):
                return {}
            return {
                each.arg: each.value.value
                for each in decorator.keywords
                if each.arg and isinstance(each.value, ast.Constant)
            }
    return None


def find_tests(module: Module) -> Iterator[TestCase]:
    """Every test function of a file."""
    for statement in module.tree.body:
        if isinstance(statement, Function) and statement.name.startswith("test"):
            if fixture_options(statement, module) is None:
                yield TestCase(statement, None)
        elif isinstance(statement, ast.ClassDef) and is_test_class(statement):
            for inner in statement.body:
                if isinstance(inner, Function) and inner.name.startswith("test"):
                    yield TestCase(inner, statement)


def is_test_class(node: ast.ClassDef) -> bool:
    return node.name.startswith("Test") or is_unittest(node)


def is_unittest(node: ast.ClassDef) -> bool:
    return any(ast.unparse(base).endswith("TestCase") for base in node.bases)


class Reading:
    """Reads one test. Values of fixtures are made once."""

    def __init__(self, module: Module, library: Library, fixtures: Fixtures, test: TestCase) -> None:
        self.machine = Machine(module, library)
        self.module = module
        self.test = test
        self.fixtures = fixtures
        self.class_fixtures = Fixtures()
        if test.cls is not None:
            self.class_fixtures.add(module, test.cls.body, test.cls)
        self.itself = Instance(ClassV(module, test.cls)) if test.cls else None
        self.values: dict[str, Value] = {}
        self.active: list[str] = []

    @property
    def trace(self) -> Trace:
        return self.machine.trace

    def run(self) -> Trace:
        try:
            self._run()
        except CannotTell as error:
            self.machine.problem(str(error))
        except Finish:
            pass
        except Raised as error:
            self.trace.raised = error.name or "an error"
        origins = {origin for module in self.machine.library.known for origin in module.imports.values()}
        self.trace.serves = any(
            re.fullmatch(r"(fastapi|starlette)(\.websockets)?\.WebSocket", each) for each in origins
        )
        return self.trace

    def _run(self) -> None:
        for fixture in [*self.fixtures.autouse, *self.class_fixtures.autouse]:
            self.value_of(fixture.name)
        self._set_up()
        node = self.test.node
        frame = Frame(self.module, {}, "test", scope=self.test.scope)
        injected = self._decorators(frame)
        parameters = [each.arg for each in [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]]
        if self.itself is not None and parameters:
            frame.env[parameters.pop(0)] = self.itself
        for name, value in zip(parameters, injected, strict=False):
            self.machine.bind(ast.Name(name, ast.Store()), value, frame)
        for name in parameters[len(injected) :]:
            self.machine.bind(ast.Name(name, ast.Store()), self._parameter(name), frame)
        self.machine.run_block(node.body, frame, top=True)

    def _decorators(self, frame: Frame) -> list[Value]:
        """What ``patch`` decorators hand in: the lowest one first."""
        found: list[Value] = []
        own = self.test.node.decorator_list
        outer = self.test.cls.decorator_list if self.test.cls else []
        first = self.test.node.body[0]
        self.machine.own_place = Place(first, first, frame.scope)
        parameters = [each.arg for each in self.test.node.args.args][1 if self.itself else 0 :]
        for decorator, how in [
            *((each, "decorator") for each in reversed(own)),
            *((each, "class-decorator") for each in reversed(outer)),
        ]:
            if not isinstance(decorator, ast.Call) or not is_patch(decorator.func, self.module.imports):
                continue
            name = parameters[len(found)] if len(found) < len(parameters) else None
            value = make_patch(self.machine, decorator, frame, how=how, name=name, whole=decorator)
            if self.trace.patches and self.trace.patches[-1].node is decorator and not self.trace.patches[-1].has_new:
                found.append(value)
        return found

    def _set_up(self) -> None:
        if self.test.cls is None or self.itself is None:
            return
        for name in _SETUPS:
            for statement in self.test.cls.body:
                if (
                    isinstance(statement, Function)
                    and statement.name == name
                    and fixture_options(statement, self.module) is None
                ):
                    scope = f"{self.test.cls.name}.{name}"
                    frame = Frame(
                        self.module,
                        {statement.args.args[0].arg: self.itself} if statement.args.args else {},
                        "setup",
                        scope=scope,
                    )
                    self.trace.fixtures.add(scope)
                    with contextlib.suppress(Finish):
                        self.machine.run_block(statement.body, frame, top=True)

    def _parameter(self, name: str) -> Value:
        value = self.value_of(name)
        return value if value is not UNKNOWN else Sym(name, src=name)

    def value_of(self, name: str) -> Value:
        """The value of a fixture, by its name."""
        if name in self.values:
            return self.values[name]
        if name in ("mocker", "monkeypatch"):
            return ModuleV(name)
        if name in ("class_mocker", "module_mocker", "session_mocker", "package_mocker"):
            return ModuleV("mocker")
        fixture = self.class_fixtures.found.get(name) or self.fixtures.found.get(name)
        if fixture is None or name in self.active:
            return UNKNOWN
        self.active.append(name)
        try:
            self.values[name] = self._fixture(fixture)
        finally:
            self.active.remove(name)
        return self.values[name]

    def _fixture(self, fixture: FixtureDef) -> Value:
        frame = Frame(fixture.module, {}, "fixture", scope=fixture.scope)
        parameters = [each.arg for each in [*fixture.node.args.args, *fixture.node.args.kwonlyargs]]
        if fixture.cls is not None and parameters and self.itself is not None:
            frame.env[parameters.pop(0)] = self.itself
        for name in parameters:
            self.machine.bind(ast.Name(name, ast.Store()), self._parameter(name), frame)
        self.trace.depends.setdefault(fixture.scope, set()).update(parameters)
        before = self.machine.own_place
        try:
            self.machine.run_block(fixture.node.body, frame, top=True)
            value: Value = Const(None)
        except Finish as end:
            value = end.value
        except Raised:
            value = UNKNOWN
        finally:
            self.machine.own_place = before
        self.trace.fixtures.add(fixture.scope)
        if isinstance(value, StandIn) and not value.path:
            value.root.given_by = fixture.scope
        return forget_names(value, frame.locals)


def read_test(module: Module, library: Library, fixtures: Fixtures, test: TestCase) -> Trace:
    """Read one test. Problems are in the trace; nothing is raised."""
    try:
        return Reading(module, library, fixtures, test).run()
    except RecursionError:
        trace = Trace()
        trace.problems.append("the test and what it calls are nested too deep to follow")
        return trace
