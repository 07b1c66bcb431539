"""One walk over a file that finds every use of a mock in it.

Written for speed: each node is seen once, statements of a scope a second time when its names are bound.
"""

from __future__ import annotations

import ast
from typing import Any

from test_framework.migration import calls, catalog
from test_framework.migration.call_visits import SQLITE, visit_call
from test_framework.migration.categories import Evidence, words
from test_framework.migration.model import Category, Form
from test_framework.migration.noting import given, names_of, noted, plain, root_of
from test_framework.migration.pending import Pending, Place
from test_framework.migration.resolving import find, literal, resolve, spelled
from test_framework.migration.scopes import Binding, Function, Scope
from test_framework.migration.walking import NOWHERE, Walker

__all__ = ["Visitor"]

CONFIG_WORDS = frozenset(("database", "db", "dsn", "sqlalchemy", "uri", "url"))


class Visitor(Walker):
    """Finds the uses of one file. After ``run``, ``uses`` holds them and ``scopes`` the scopes of all definitions."""

    def __init__(self, tree: ast.Module, *, replaced: dict[str, str] | None = None) -> None:
        super().__init__(tree, replaced=replaced)
        self.asked: list[tuple[ast.Call, Scope]] = []
        """Calls of ``getfixturevalue``."""
        self.attributes: list[tuple[Scope, str, str]] = []
        self.started: list[tuple[Scope, str, Form]] = []
        """Variables that are started, entered or used as decorators."""
        self.forms: dict[int, Form] = {}
        self.silent: set[int] = set()
        """Nodes that belong to a use found already."""
        self.addresses: list[tuple[ast.expr, Scope, tuple[str, ...]]] = []
        self.links: list[tuple[Scope, str, Pending | str]] = []
        """Variables that are put into a mock: into a use, or into what a dotted name begins with."""
        self.supported: frozenset[Category] = frozenset()
        """What the file speaks of beyond doubt; known when all uses are."""

    def run(self) -> None:
        """Walk the whole file."""
        self.note_bare_names(self.scope)
        self.children(self.tree)
        opened = {spelled(argument) for use in self.uses if use.kind == "sqlite-memory" for argument in given(use.node)}
        for value, scope, names in self.addresses:
            if not opened.intersection(names):
                self.scope, self.place = scope, Place(names)
                self.made(value, "", SQLITE, Form.REFERENCE, calls.Read(target=names[0]))

    # Statements and scopes

    def function(self, node: Function) -> None:
        """Decorators and defaults outside, parameters and body inside. Annotations are no uses."""
        for decorator in node.decorator_list:
            self.forms[id(decorator)] = Form.DECORATOR
            self.visit_at(decorator, NOWHERE)
            self.note_started(decorator, Form.DECORATOR)
        for default in (*node.args.defaults, *node.args.kw_defaults):
            if default is not None:
                self.visit_at(default, NOWHERE)
        scope = self.scopes.get(id(node)) or self.enter(Scope("function", node, self.scope, node.name), node)
        self.hand_out(node, scope)
        self.body(scope, node.body)

    def body(self, scope: Scope, body: list[ast.stmt]) -> None:
        before, place, outer = self.scope, self.place, self.outer
        self.scope, self.place, self.outer = scope, NOWHERE, None
        for statement in body:
            self.visit(statement)
        self.scope, self.place, self.outer = before, place, outer

    def hand_out(self, node: Function, scope: Scope) -> None:
        """Give the names of injected parameters to the decorators that inject them, the lowest first."""
        free = [one.arg for one in (*node.args.posonlyargs, *node.args.args) if one.arg not in ("self", "cls")]
        for decorator in reversed(node.decorator_list):
            use = self.by_node.get(id(decorator))
            if use is None:
                continue
            use.scope = scope
            if not free or not calls.injected(use.kind, decorator):
                continue
            name = free.pop(0)
            use.evidence.names.append(name)
            use.holders.append((scope, name))
            if use.kind in ("requests_mock", "aioresponses"):
                dotted = "requests_mock.Mocker()" if use.kind == "requests_mock" else "aioresponses.aioresponses()"
                scope.resolved.clear()
                scope.bindings[name] = [Binding(node.lineno, optional=False, dotted=dotted, value=None, how="param")]

    def klass(self, node: ast.ClassDef) -> None:
        for decorator in node.decorator_list:
            self.forms[id(decorator)] = Form.DECORATOR
            self.visit_at(decorator, NOWHERE)
            self.note_started(decorator, Form.DECORATOR)
        for base in node.bases:
            dotted = resolve(base, self.scope)
            known, via = catalog.base_class(dotted) if dotted else (None, "")
            if known is not None:
                said = Evidence(names=[node.name])
                self.add(Pending(node, known.kind, "class", Form.SUBCLASS, self.scope, node.name, said, via=via))
                break
        self.body(self.enter(Scope("class", node, self.scope, node.name), node), node.body)

    def lambda_(self, node: ast.Lambda) -> None:
        scope = Scope("function", node, self.scope)
        self.parameters(scope, node.args)
        before, self.scope = self.scope, scope
        self.visit(node.body)
        self.scope = before

    def comprehension(self, node: Any) -> None:
        scope = Scope("function", node, self.scope)
        for generator in node.generators:
            for part in ast.walk(generator.target):
                if isinstance(part, ast.Name):
                    loop = Binding(node.lineno, optional=False, dotted=None, value=generator.iter, how="for")
                    scope.add(part.id, loop)
        before, self.scope = self.scope, scope
        self.children(node)
        self.scope = before

    def with_(self, node: ast.With | ast.AsyncWith) -> None:
        for item in node.items:
            self.forms[id(item.context_expr)] = Form.CONTEXT
            names = names_of(item.optional_vars) if item.optional_vars is not None else ()
            self.visit_at(item.context_expr, Place(names))
            self.note_started(item.context_expr, Form.CONTEXT)
        for statement in node.body:
            self.visit(statement)

    def assign(self, node: ast.Assign | ast.AnnAssign | ast.AugAssign | ast.NamedExpr) -> None:
        if node.value is None:
            return
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        for target in targets:
            self.visit(target)
        first = targets[0]
        if (
            isinstance(first, ast.Tuple)
            and isinstance(node.value, ast.Tuple)
            and len(first.elts) == len(node.value.elts)
        ):
            for one, value in zip(first.elts, node.value.elts, strict=True):
                self.visit_at(value, Place(names_of(one)), self.outer)
            return
        names = tuple(name for target in targets for name in names_of(target))
        if isinstance(first, ast.Attribute) and (held := plain(node.value)):
            self.links.append((self.scope, held, names[0] if names else ""))
        self.note_address(node.value, names)
        self.visit_at(node.value, Place(names), self.outer)

    def returned(self, node: Any) -> None:
        if node.value is not None:
            self.visit_at(node.value, self.place if self.place.names else Place(()), self.outer)

    def dictionary(self, node: ast.Dict) -> None:
        for key, value in zip(node.keys, node.values, strict=True):
            if key is not None and not self.is_plain(key):
                self.visit(key)
            if self.is_plain(value) and literal(value) is None:
                continue
            names = ((literal(key) or spelled(key)),) if key is not None else ()
            self.note_address(value, names)
            if names == ("NAME",) and literal(value) == ":memory:" and self.place.names:
                self.addresses.append((value, self.scope, ("DATABASES",)))
            self.visit_at(value, Place((*filter(None, names), *self.place.names), self.place.callee), self.outer)

    def note_address(self, value: ast.expr, names: tuple[str, ...]) -> None:
        """An address of SQLite in memory in a setting; whether it is a use is known at the end of the file."""
        if names and calls.is_memory_url(value) and CONFIG_WORDS.intersection(words(names[0].rpartition(".")[2])):
            self.addresses.append((value, self.scope, names))

    def compare(self, node: ast.Compare) -> None:
        parts = [part for part in (node.left, *node.comparators) if not self.is_plain(part)]
        other = spelled(node.left) or spelled(node.comparators[-1]) if parts else ""
        for part in parts:
            self.visit_at(part, Place((), callee=other), self.outer)

    # Expressions

    def name(self, node: ast.Name) -> None:
        if node.id in self.bare_names and id(node) not in self.silent:
            self.bare(node)

    def attribute(self, node: ast.Attribute) -> None:
        root, inner = root_of(node)
        if root is not None:
            self.attributes.append((self.scope, root, node.attr))
        if id(node) not in self.silent and self.bare(node):
            return
        if (isinstance(inner, ast.Name | ast.Attribute) and isinstance(node.value, ast.Attribute)) or not isinstance(
            node.value, ast.Name
        ):
            self.visit(node.value)

    def bare(self, node: ast.Name | ast.Attribute) -> bool:
        """A stand-in that is only named: as a decorator, as a context manager, as a value."""
        dotted = resolve(node, self.scope)
        known = catalog.known(dotted) if dotted and "." in dotted else None
        if dotted is None or known is None or not known.bare:
            return False
        form = self.forms.get(id(node), Form.REFERENCE)
        self.made(node, dotted, known, form, calls.Read())
        return True

    def call(self, node: ast.Call) -> None:
        visit_call(self, node)

    def note_started(self, node: ast.expr, form: Form) -> None:
        name = plain(node)
        if name:
            self.started.append((self.scope, name, form))
            found = find(name, self.scope, node.lineno) if "." not in name else None
            for binding in found[1] if found else ():
                if binding.how == "for" and binding.value is not None:
                    looped = spelled(binding.value).removesuffix(".values")
                    self.started.append((self.scope.parent or self.scope, looped, form))

    def made(self, node: ast.expr, dotted: str, known: catalog.Known, form: Form, said: calls.Read) -> Pending:
        """Note a use, with what its place and its arguments say."""
        use = noted(node, dotted, known, said, self.place)
        use.form, use.scope, use.outer = form, self.scope, self.outer
        use.holders = [(self.scope, name) for name in self.place.names]
        self.add(use)
        return use

    def add(self, use: Pending) -> None:
        self.uses.append(use)
        self.by_node[id(use.node)] = use


Visitor.handlers = {
    ast.FunctionDef: Visitor.function,
    ast.AsyncFunctionDef: Visitor.function,
    ast.ClassDef: Visitor.klass,
    ast.Lambda: Visitor.lambda_,
    ast.ListComp: Visitor.comprehension,
    ast.SetComp: Visitor.comprehension,
    ast.DictComp: Visitor.comprehension,
    ast.GeneratorExp: Visitor.comprehension,
    ast.With: Visitor.with_,
    ast.AsyncWith: Visitor.with_,
    ast.Assign: Visitor.assign,
    ast.AnnAssign: Visitor.assign,
    ast.AugAssign: Visitor.assign,
    ast.NamedExpr: Visitor.assign,
    ast.Return: Visitor.returned,
    ast.Yield: Visitor.returned,
    ast.Dict: Visitor.dictionary,
    ast.Compare: Visitor.compare,
    ast.Name: Visitor.name,
    ast.Attribute: Visitor.attribute,
    ast.Call: Visitor.call,
    ast.Constant: Visitor.nothing,
    ast.Import: Visitor.nothing,
    ast.ImportFrom: Visitor.nothing,
    ast.Load: Visitor.nothing,
    ast.Store: Visitor.nothing,
    ast.Del: Visitor.nothing,
    ast.Pass: Visitor.nothing,
    ast.Global: Visitor.nothing,
    ast.Nonlocal: Visitor.nothing,
}
