"""Walking over a file's tree with the scope at hand; what is done at each node is said by a table of handlers."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any, ClassVar

from test_framework.migration import catalog
from test_framework.migration.pending import Pending, Place
from test_framework.migration.resolving import resolve
from test_framework.migration.scopes import Binding, Function, Scope, bind, module_scope

__all__ = ["NOWHERE", "Walker"]

NOWHERE = Place()


class Walker:
    """Keeps the scope, the place and the mock around while it walks."""

    handlers: ClassVar[dict[type[ast.AST], Callable[[Any, Any], None]]] = {}
    """What is done at a node of each type; a type that is missing is walked into."""

    def __init__(self, tree: ast.Module, *, replaced: dict[str, str] | None = None) -> None:
        self.tree = tree
        self.scope = module_scope(tree)
        self.scope.replaced.update(replaced or {})
        self.module = self.scope
        self.scopes: dict[int, Scope] = {id(tree): self.scope}
        self.uses: list[Pending] = []
        self.by_node: dict[int, Pending] = {}
        self.bare_names: set[str] = set()
        self.place = NOWHERE
        self.outer: Pending | None = None

    def release(self) -> None:
        """Cut the circles between scopes and what they hold, so that a file's objects go as soon as it is done."""
        for scope in self.scopes.values():
            scope.attributes.clear()
            scope.bindings.clear()
        for use in self.uses:
            use.parts.clear()

    def note_bare_names(self, scope: Scope) -> None:
        """Remember imported names that are a use as soon as they are named (``@mock_aws``)."""
        for name, bindings in scope.bindings.items():
            for binding in bindings:
                if binding.dotted is not None and (known := catalog.known(binding.dotted)) and known.bare:
                    self.bare_names.add(name)

    def visit(self, node: ast.AST) -> None:
        handler = self.handlers.get(type(node))
        if handler is None:
            self.children(node)
        else:
            handler(self, node)

    def children(self, node: ast.AST) -> None:
        for name in node._fields:
            value = getattr(node, name, None)
            if isinstance(value, list):
                for one in value:
                    if isinstance(one, ast.AST):
                        self.visit(one)
            elif isinstance(value, ast.AST):
                self.visit(value)

    def is_plain(self, node: ast.expr) -> bool:
        """Whether nothing can be found in an expression: a constant, or a variable whose name alone is no mock."""
        kind = type(node)
        return kind is ast.Constant or (kind is ast.Name and getattr(node, "id", "") not in self.bare_names)

    def visit_at(self, node: ast.AST, place: Place, outer: Pending | None = None) -> None:
        before = self.place, self.outer
        self.place, self.outer = place, outer
        self.visit(node)
        self.place, self.outer = before

    def nothing(self, node: ast.AST) -> None:
        """Names, constants, operators, imports: nothing inside can be a use."""

    def enter(self, scope: Scope, node: Function | ast.ClassDef) -> Scope:
        """Bind the names of a new scope."""
        self.scopes[id(node)] = scope
        if not isinstance(node, ast.ClassDef):
            self.parameters(scope, node.args)
        bind(scope, node.body)
        self.note_bare_names(scope)
        if isinstance(node, ast.ClassDef):
            for method in node.body:  # what methods give to ``self`` is known before any body is walked
                if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef):
                    self.enter(Scope("function", method, scope, method.name), method)
        return scope

    def parameters(self, scope: Scope, arguments: ast.arguments) -> None:
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        every += [one for one in (arguments.vararg, arguments.kwarg) if one is not None]
        for one in every:
            dotted = catalog.fixture_object(one.arg)
            if dotted is None and one.annotation is not None:
                annotation = resolve(one.annotation, scope.parent or scope)
                dotted = catalog.annotated_object(annotation) if annotation else None
            how = "param" if one.arg != "self" else "self"
            scope.add(one.arg, Binding(one.lineno, optional=False, dotted=dotted, value=None, how=how, node=one))
