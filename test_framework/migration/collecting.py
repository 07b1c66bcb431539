"""The tests, fixtures and helpers of one file, and what they ask each other for."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from test_framework.migration import calls, catalog
from test_framework.migration.categories import (
    HINT,
    MIDDLE,
    SERVICES,
    WEAK,
    Evidence,
    Finding,
    decide,
    of_name,
)
from test_framework.migration.facts import Atom, FixtureFact, Request
from test_framework.migration.model import Category
from test_framework.migration.resolving import literal, resolve, spelled
from test_framework.migration.scopes import Function, Scope
from test_framework.migration.values import Values
from test_framework.migration.visitor import Visitor

if TYPE_CHECKING:
    from test_framework.migration.analysis import Columns

__all__ = ["Collector"]

BUILT_IN = frozenset(("request", "tmp_path", "capsys", "caplog", "monkeypatch", "mocker", "self", "cls"))
"""Fixtures that are no mocks themselves; what is done with them is found where it is done."""
FAKE_FILES = frozenset(
    ("create_file", "create_dir", "add_real_directory", "add_real_file", "add_real_paths", "create_symlink")
)


class Collector:
    """Walks the definitions of one visited file."""

    def __init__(self, visitor: Visitor, columns: Columns, *, is_test: bool) -> None:
        self.visitor = visitor
        self.values = Values(visitor)
        self.columns = columns
        self.is_test = is_test
        self.tests = 0
        self.requests: list[Request] = []
        self.fixtures: list[FixtureFact] = []
        self.functions: dict[str, list[Atom]] = {}
        self.bases: dict[str, list[str]] = {}
        self.plugins: list[str] = []
        self.attributes: dict[tuple[int, str], list[str]] = {}
        for scope, name, attribute in visitor.attributes:
            self.attributes.setdefault((id(scope), name), []).append(attribute)

    def run(self) -> None:
        """Fill every list."""
        module = self.visitor.module
        self.block(self.visitor.tree.body, module, "", direct=False)
        for name in ("pytest_plugins", "pytestmark"):
            for binding in module.bindings.get(name, ()):
                if binding.value is not None:
                    self.module_wide(name, binding.value)
        for call, scope in self.visitor.asked:
            asked = literal(call.args[0]) if call.args else None
            if asked:
                self.request(asked, call, scope, own=self.fixture_name(scope))

    def module_wide(self, name: str, value: ast.expr) -> None:
        if name == "pytestmark":
            self.marks([value], self.visitor.module, "")
            return
        self.plugins += [text for part in ast.walk(value) if isinstance(part, ast.expr) and (text := literal(part))]

    def names(self) -> dict[str, str]:
        """Module-level names that come from elsewhere, without the standard library's that are no mocks."""
        found = {}
        for name, bindings in self.visitor.module.bindings.items():
            if bindings[-1].how in ("import", "value", "class"):
                dotted = resolve(ast.Name(name, lineno=1 << 30), self.visitor.module)
                if dotted is not None and "()" not in dotted and _foreign(dotted):
                    found[name] = dotted
        return found

    def block(self, body: Iterable[ast.stmt], scope: Scope, cls: str, *, direct: bool) -> None:
        """Definitions in ``body``, also below ``if``, ``try`` and ``with``."""
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                self.function(node, scope, cls)
            elif isinstance(node, ast.ClassDef):
                self.klass(node, scope, cls)
            elif isinstance(node, ast.If | ast.Try | ast.With):
                self.block(node.body, scope, cls, direct=direct)
                self.block(getattr(node, "orelse", ()), scope, cls, direct=direct)
                for handler in getattr(node, "handlers", ()):
                    self.block(handler.body, scope, cls, direct=direct)

    def klass(self, node: ast.ClassDef, outer: Scope, cls: str) -> None:
        scope = self.values.scope_of(node, outer)
        if scope is None:
            return
        name = f"{cls}.{node.name}" if cls else node.name
        self.bases[name] = [dotted for base in node.bases if (dotted := _base(base, outer))]
        self.marks(node.decorator_list, scope, name)
        for binding in scope.bindings.get("pytestmark", ()):
            if binding.value is not None:
                self.marks([binding.value], scope, name)
        if held := self.values.held_by_class(scope, 0):
            self.functions[name] = [atom._replace(strength="holds") for atom in held]
        self.block(node.body, scope, name, direct=True)

    def function(self, node: Function, outer: Scope, cls: str) -> None:
        scope = self.values.scope_of(node, outer)
        if scope is None:
            return
        fixture = next((one for one in node.decorator_list if self.is_fixture(one, outer)), None)
        if fixture is not None:
            self.fixture(node, fixture, scope, cls)
        elif self.is_test and node.name.startswith("test"):
            self.tests += 1
            if not self.is_unittest(cls):
                self.parameters(node, scope, cls, own="")
            self.marks(node.decorator_list, scope, cls)
        elif atoms := [one for one in self.values.returned(scope) if one.tag != "fixture" and one.strength != "given"]:
            self.functions[f"{cls}.{node.name}" if cls else node.name] = atoms

    def is_fixture(self, decorator: ast.expr, scope: Scope) -> bool:
        function = decorator.func if isinstance(decorator, ast.Call) else decorator
        dotted = resolve(function, scope)
        if dotted is None:
            return False
        return catalog.is_fixture_decorator(dotted.removesuffix("()")) or (
            "." in dotted and dotted.rpartition(".")[2].endswith(("fixture", "fixture()"))
        )

    def is_unittest(self, cls: str) -> bool:
        return any(base.endswith("TestCase") for base in self.bases.get(cls, ()))

    def fixture(self, node: Function, decorator: ast.expr, scope: Scope, cls: str) -> None:
        name, autouse = node.name, False
        if isinstance(decorator, ast.Call):
            name = literal(calls.argument(decorator, -1, "name")) or name
            switch = calls.argument(decorator, -1, "autouse")
            autouse = isinstance(switch, ast.Constant) and switch.value is True
        atoms = self.values.returned(scope)
        objects = {resolve(value, scope) for value in scope.outputs} & {catalog.MOCKER, catalog.MONKEYPATCH}
        atoms += [Atom("object", dotted or "", "is") for dotted in objects]
        ranked = sorted((one for one in atoms if one.category), key=lambda one: one.strength != "is")
        own = [Finding(Category(one.category), one.evidence, MIDDLE) for one in ranked if _telling(one)]
        found = of_name(name)
        if found is not None and found.weight == HINT and found.category not in self.visitor.supported:
            found = None
        best = next((one for one in own if one.category is not Category.OTHER), None)
        if found is not None and (best is None or (found.weight > WEAK and found.category in SERVICES)):
            best = found._replace(why=f"it is called {name}")
        line, column, end = self.columns.of(node)
        category, why = (best.category.value, best.why) if best is not None else ("", "")
        place = scope.qualified
        self.fixtures.append(FixtureFact(name, line, column, end, place, cls, autouse, atoms, category, why))
        self.parameters(node, scope, cls, own=name)
        self.marks(node.decorator_list, scope, cls, own=name)

    def fixture_name(self, scope: Scope) -> str:
        return next((one.name for one in self.fixtures if one.scope == scope.qualified), "")

    def parameters(self, node: Function, scope: Scope, cls: str, *, own: str) -> None:
        """Every parameter that pytest fills from a fixture."""
        skipped = self.parametrized(node, scope) | BUILT_IN
        positional = [*node.args.posonlyargs, *node.args.args]
        plain = positional[: len(positional) - len(node.args.defaults)]
        if cls and plain and not any(spelled(one) == "staticmethod" for one in node.decorator_list):
            plain = plain[1:]
        plain = plain[self.handed(node) :]
        only = [
            one for one, default in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True) if default is None
        ]
        for parameter in (*plain, *only):
            if parameter.arg not in skipped:
                self.request(parameter.arg, parameter, scope, own=own, cls=cls)

    def handed(self, node: Function) -> int:
        """How many parameters patch decorators fill."""
        count = 0
        for decorator in node.decorator_list:
            use = self.visitor.by_node.get(id(decorator))
            if use is not None:
                count += calls.injected(use.kind, decorator)
            elif isinstance(decorator, ast.Name | ast.Attribute):
                count += resolve(decorator, self.visitor.module) in (
                    "unittest.mock.patch()",
                    "unittest.mock.patch.object()",
                )
        return count

    def parametrized(self, node: Function, scope: Scope) -> set[str]:
        """Parameters that ``parametrize`` fills, here, on the class around or for the whole module."""
        marks: list[ast.expr] = list(node.decorator_list)
        around: Scope | None = scope.parent
        while around is not None:
            if isinstance(around.node, ast.ClassDef):
                marks += around.node.decorator_list
            marks += [binding.value for binding in around.bindings.get("pytestmark", ()) if binding.value is not None]
            around = around.parent
        found: set[str] = set()
        for mark in _each(marks):
            if isinstance(mark, ast.Call) and spelled(mark.func).endswith("parametrize") and mark.args:
                indirect = calls.argument(mark, 2, "indirect")
                if isinstance(indirect, ast.Constant) and indirect.value is True:
                    continue
                first = mark.args[0]
                parts = first.elts if isinstance(first, ast.Tuple | ast.List) else [first]
                for part in parts:
                    found.update(one.strip() for one in (literal(part) or "").split(","))
        return found

    def marks(self, marks: Iterable[ast.expr], scope: Scope, cls: str, own: str = "") -> None:
        """``usefixtures``, wherever it stands."""
        for mark in _each(marks):
            if isinstance(mark, ast.Call) and spelled(mark.func).endswith("mark.usefixtures"):
                for argument in mark.args:
                    if name := literal(argument):
                        self.request(name, argument, scope, own=own, cls=cls)

    def request(self, name: str, node: ast.AST, scope: Scope, *, own: str, cls: str | None = None) -> None:
        if cls is None:
            owner = scope.enclosing_class()
            cls = owner.qualified if owner is not None else ""
        line, column, end = self.columns.of(node)
        used = self.attributes.get((id(scope), name), [])
        if name == "fs" and not FAKE_FILES.intersection(used) and "pyfakefs" not in _imports(self.visitor.module):
            name_found = Finding(Category.OTHER, "", 0)
        else:
            name_found = decide(Evidence(names=[name], attributes=used, supported=self.visitor.supported))
        category = Category.FILESYSTEM if name == "fs" and used else name_found.category
        self.requests.append(
            Request(name, line, column, end, scope.qualified, cls, own, category.value, name_found.why)
        )


def _telling(atom: Atom) -> bool:
    return atom.strength == "is" or Category(atom.category) in SERVICES


def _each(marks: Iterable[ast.expr]) -> Iterable[ast.expr]:
    for mark in marks:
        if isinstance(mark, ast.List | ast.Tuple):
            yield from mark.elts
        else:
            yield mark


def _base(base: ast.expr, scope: Scope) -> str:
    inner = base.value if isinstance(base, ast.Subscript) else base
    return resolve(inner, scope) or spelled(inner)


def _foreign(dotted: str) -> bool:
    root = dotted.partition(".")[0]
    if "." not in dotted:
        return root in catalog.ROOTS or catalog.is_mock_module(root) is not None
    return root not in sys.stdlib_module_names or dotted.startswith("unittest.mock")


def _imports(module: Scope) -> set[str]:
    return {b.dotted.partition(".")[0] for bindings in module.bindings.values() for b in bindings if b.dotted}
