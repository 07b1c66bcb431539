"""Which names a scope binds, and to what, by Python's own rules. Statements are read here, never executed."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from test_framework.migration import catalog

__all__ = ["Binding", "Function", "Scope", "bind", "module_scope"]

Function = ast.FunctionDef | ast.AsyncFunctionDef
FILLING = frozenset(("append", "add", "extend", "update", "setdefault", "insert"))
"""Methods that put their last argument into a container."""


class Binding(NamedTuple):
    """One place that gives a name its value."""

    line: int
    """The first line on which the name has it."""
    optional: bool
    """Inside an ``if``, ``try`` or loop: an earlier binding may be the one in force."""
    dotted: str | None
    value: ast.expr | None
    how: str
    """"import", "value", "with", "def", "class", "param", "for" or "other"."""
    node: ast.AST | None = None


class Scope:
    """A module, class, function, lambda or comprehension and the names bound in it."""

    __slots__ = (
        "attributes",
        "bindings",
        "foreign",
        "kind",
        "name",
        "node",
        "outputs",
        "parent",
        "replaced",
        "resolved",
        "stars",
        "yields_in",
    )

    def __init__(self, kind: str, node: ast.AST, parent: Scope | None, name: str = "") -> None:
        self.kind = kind
        self.node = node
        self.parent = parent
        self.name = name
        self.bindings: dict[str, list[Binding]] = {}
        self.attributes: dict[str, list[tuple[ast.expr, Scope]]] = {}
        """What is assigned to ``name.attribute`` or ``name[…]``, and in which scope that is written, by name.
        For a class: what is assigned to ``self.attribute``, by attribute."""
        self.resolved: dict[tuple[str, int, int], str | None] = {}
        """What variables were found to stand for, by name and the bindings in force."""
        self.foreign: set[str] = set()
        self.outputs: list[ast.expr] = []
        """What a function returns or yields."""
        self.yields_in: list[ast.expr] = []
        """Context managers that are open where something is yielded."""
        self.stars: list[str] = []
        self.replaced: dict[str, str] = parent.replaced if parent is not None else {}
        """Dotted names that other files are known to give another meaning."""

    @property
    def qualified(self) -> str:
        """``TestX.test_y``; functions inside functions too."""
        parts, scope = [], self
        while scope.parent is not None:
            if scope.name:
                parts.append(scope.name)
            scope = scope.parent
        return ".".join(reversed(parts))

    def enclosing_class(self) -> Scope | None:
        """The nearest class around, itself included."""
        scope: Scope | None = self
        while scope is not None and scope.kind != "class":
            scope = scope.parent
        return scope

    def add(self, name: str, binding: Binding) -> None:
        """Note a binding; what ``global`` and ``nonlocal`` give away is noted where it belongs."""
        scope: Scope = self
        if name in self.foreign:
            while scope.parent is not None:
                scope = scope.parent
        scope.bindings.setdefault(name, []).append(binding)


def module_scope(tree: ast.Module) -> Scope:
    """The module's own scope, filled."""
    scope = Scope("module", tree, None)
    bind(scope, tree.body)
    return scope


def bind(scope: Scope, body: Iterable[ast.stmt]) -> None:
    """Note every name that ``body`` binds in ``scope``; nested functions and classes are left for their own scopes."""
    _Binder(scope).block(body)


class _Binder:
    """Reads the statements of one scope."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.open: list[ast.expr] = []
        self.optional = False

    def block(self, body: Iterable[ast.stmt]) -> None:
        for statement in body:
            handler = _STATEMENTS.get(type(statement))
            if handler is not None:
                handler(self, statement)

    def maybe(self, body: Iterable[ast.stmt]) -> None:
        before, self.optional = self.optional, True
        self.block(body)
        self.optional = before

    def name(self, name: str, node: ast.stmt, how: str, value: ast.expr | None = None) -> None:
        # What is read on the right of an assignment is what the name meant before.
        line = (node.end_lineno or node.lineno) + 1 if how == "value" else node.lineno
        self.scope.add(name, Binding(line, self.optional, None, value, how, node))

    def target(self, target: ast.expr, value: ast.expr | None, node: ast.stmt, how: str) -> None:
        if isinstance(target, ast.Name):
            if not (isinstance(value, ast.Constant) and value.value is None):
                self.name(target.id, node, how, value)
        elif isinstance(target, ast.Tuple | ast.List):
            values: list[ast.expr | None] = [None] * len(target.elts)
            if isinstance(value, ast.Tuple | ast.List) and len(value.elts) == len(target.elts):
                values = list(value.elts)
            for one, part in zip(target.elts, values, strict=True):
                self.target(one, part, node, how)
        elif isinstance(target, ast.Starred):
            self.target(target.value, None, node, how)
        elif isinstance(target, ast.Attribute | ast.Subscript) and value is not None:
            self.into(target, value)

    def into(self, target: ast.Attribute | ast.Subscript, value: ast.expr) -> None:
        """``name.a.b = value`` and ``name["a"] = value``: the name now holds the value."""
        inner: ast.expr = target
        while isinstance(inner, ast.Attribute | ast.Subscript):
            attribute = inner.attr if isinstance(inner, ast.Attribute) else ""
            inner = inner.value
        if not isinstance(inner, ast.Name):
            return
        if inner.id in ("self", "cls") and (owner := self.scope.enclosing_class()) is not None:
            owner.attributes.setdefault(attribute, []).append((value, self.scope))
        else:
            self.hold(inner.id, value)

    def hold(self, name: str, value: ast.expr) -> None:
        self.scope.attributes.setdefault(name, []).append((value, self.scope))

    def assign(self, node: ast.Assign) -> None:
        for target in node.targets:
            self.target(target, node.value, node, "value")
        self.output(node.value)

    def annotated(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.target(node.target, node.value, node, "value")
            self.output(node.value)

    def augmented(self, node: ast.AugAssign) -> None:
        if isinstance(node.target, ast.Name) and not isinstance(node.value, ast.List | ast.Tuple | ast.Dict):
            self.name(node.target.id, node, "other")

    def expression(self, node: ast.Expr) -> None:
        self.output(node.value)
        call = node.value
        if not isinstance(call, ast.Call) or not call.args:
            return
        function = call.func
        if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name) and function.attr in FILLING:
            self.hold(function.value.id, call.args[-1])
        elif isinstance(function, ast.Name) and function.id == "setattr" and isinstance(call.args[0], ast.Name):
            self.hold(call.args[0].id, call.args[-1])

    def output(self, value: ast.expr | None) -> None:
        if isinstance(value, ast.Yield | ast.YieldFrom) and value.value is not None:
            self.scope.outputs.append(value.value)
            self.scope.yields_in.extend(self.open)

    def returned(self, node: ast.Return) -> None:
        if node.value is not None:
            self.scope.outputs.append(node.value)

    def imported(self, node: ast.Import) -> None:
        for alias in node.names:
            name = alias.asname or alias.name.partition(".")[0]
            dotted = alias.name if alias.asname else name
            self.scope.add(name, Binding(node.lineno, self.optional, dotted, None, "import", node))

    def imported_from(self, node: ast.ImportFrom) -> None:
        module = "." * node.level + (node.module or "")
        for alias in node.names:
            if alias.name == "*":
                self.star(module, node)
                continue
            dotted = module + alias.name if module.endswith(".") else f"{module}.{alias.name}"
            name = alias.asname or alias.name
            self.scope.add(name, Binding(node.lineno, self.optional, dotted, None, "import", node))

    def star(self, module: str, node: ast.ImportFrom) -> None:
        if catalog.is_mock_module(module) == "":
            for name in catalog.STAR_NAMES:
                self.scope.add(name, Binding(node.lineno, self.optional, f"{module}.{name}", None, "import", node))
        else:
            self.scope.stars.append(module)

    def function(self, node: Function) -> None:
        self.scope.add(node.name, Binding(node.lineno, self.optional, None, None, "def", node))

    def klass(self, node: ast.ClassDef) -> None:
        self.scope.add(node.name, Binding(node.lineno, self.optional, None, None, "class", node))

    def with_(self, node: ast.With | ast.AsyncWith) -> None:
        for item in node.items:
            if item.optional_vars is not None:
                self.target(item.optional_vars, item.context_expr, node, "with")
        size = len(self.open)
        self.open.extend(item.context_expr for item in node.items)
        self.block(node.body)
        del self.open[size:]

    def loop(self, node: ast.For | ast.AsyncFor) -> None:
        self.target(node.target, node.iter, node, "for")
        self.maybe(node.body)
        self.maybe(node.orelse)

    def branch(self, node: ast.If | ast.While) -> None:
        self.maybe(node.body)
        self.maybe(node.orelse)

    def attempt(self, node: ast.Try) -> None:
        # The handlers first: what is bound when nothing fails is the likeliest, and so the last.
        for handler in node.handlers:
            if handler.name:
                self.scope.add(
                    handler.name,
                    Binding(handler.lineno, optional=True, dotted=None, value=None, how="other", node=handler),
                )
            self.maybe(handler.body)
        self.maybe(node.body)
        self.maybe(node.orelse)
        self.maybe(node.finalbody)

    def shadow(self, name: str, node: ast.ExceptHandler | ast.Match) -> None:
        self.scope.add(name, Binding(node.lineno, optional=True, dotted=None, value=None, how="other", node=node))

    def match(self, node: ast.Match) -> None:
        for case in node.cases:
            for part in ast.walk(case.pattern):
                name = getattr(part, "name", None) or getattr(part, "rest", None)
                if isinstance(name, str):
                    self.scope.add(
                        name, Binding(node.lineno, optional=True, dotted=None, value=None, how="other", node=part)
                    )
            self.maybe(case.body)

    def given_away(self, node: ast.Global | ast.Nonlocal) -> None:
        self.scope.foreign.update(node.names)


_STATEMENTS: dict[type[ast.stmt], Callable[[_Binder, Any], None]] = {
    ast.Assign: _Binder.assign,
    ast.AnnAssign: _Binder.annotated,
    ast.AugAssign: _Binder.augmented,
    ast.Expr: _Binder.expression,
    ast.Return: _Binder.returned,
    ast.Import: _Binder.imported,
    ast.ImportFrom: _Binder.imported_from,
    ast.FunctionDef: _Binder.function,
    ast.AsyncFunctionDef: _Binder.function,
    ast.ClassDef: _Binder.klass,
    ast.With: _Binder.with_,
    ast.AsyncWith: _Binder.with_,
    ast.For: _Binder.loop,
    ast.AsyncFor: _Binder.loop,
    ast.If: _Binder.branch,
    ast.While: _Binder.branch,
    ast.Try: _Binder.attempt,
    ast.TryStar: _Binder.attempt,
    ast.Match: _Binder.match,
    ast.Global: _Binder.given_away,
    ast.Nonlocal: _Binder.given_away,
}
