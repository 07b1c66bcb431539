"""One walk over a file that finds every use of a mock in it.

Written for speed: each node is seen once, statements of a scope a second time when its names are bound.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

from test_framework.migration import calls, catalog
from test_framework.migration.call_visits import SQLITE, visit_call
from test_framework.migration.categories import Evidence, Finding, words
from test_framework.migration.model import Category, Form
from test_framework.migration.pending import Pending, Place
from test_framework.migration.resolving import find, literal, resolve, spelled
from test_framework.migration.scopes import Binding, Function, Scope, bind, module_scope

__all__ = ["Visitor"]

NOWHERE = Place()
CONFIG_WORDS = frozenset(("database", "db", "dsn", "sqlalchemy", "uri", "url"))


class Visitor:
    """Finds the uses of one file. After ``run``, ``uses`` holds them and ``scopes`` every function's and class's scope."""

    def __init__(self, tree: ast.Module, *, replaced: dict[str, str] | None = None) -> None:
        self.tree = tree
        self.scope = module_scope(tree)
        self.scope.replaced.update(replaced or {})
        self.module = self.scope
        self.scopes: dict[int, Scope] = {id(tree): self.scope}
        self.uses: list[Pending] = []
        self.by_node: dict[int, Pending] = {}
        self.asked: list[tuple[ast.Call, Scope]] = []
        """Calls of ``getfixturevalue``."""
        self.attributes: list[tuple[Scope, str, str]] = []
        self.started: list[tuple[Scope, str, Form]] = []
        """Variables that are started, entered or used as decorators."""
        self.place = NOWHERE
        self.outer: Pending | None = None
        self.forms: dict[int, Form] = {}
        self.silent: set[int] = set()
        """Nodes that belong to a use found already."""
        self.bare_names: set[str] = set()
        self.addresses: list[tuple[ast.expr, Scope, tuple[str, ...]]] = []

    def run(self) -> None:
        """Walk the whole file."""
        self.note_bare_names(self.scope)
        self.children(self.tree)
        opened = {
            spelled(argument) for use in self.uses if use.kind == "sqlite-memory" for argument in _given(use.node)
        }
        for value, scope, names in self.addresses:
            if not opened.intersection(names):
                self.scope, self.place = scope, Place(names)
                self.made(value, "", SQLITE, Form.REFERENCE, calls.Read(target=names[0]))

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
        handler = HANDLERS.get(type(node))
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

    def visit_at(self, node: ast.AST, place: Place, outer: Pending | None = None) -> None:
        before = self.place, self.outer
        self.place, self.outer = place, outer
        self.visit(node)
        self.place, self.outer = before

    def nothing(self, node: ast.AST) -> None:
        """Names, constants, operators, imports: nothing inside can be a use."""

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
            known = catalog.known(dotted) if dotted else None
            if known is not None and known.family == "mock":
                self.add(
                    Pending(
                        node, known.kind, "class", Form.SUBCLASS, self.scope, node.name, Evidence(names=[node.name])
                    )
                )
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
            names = _names(item.optional_vars) if item.optional_vars is not None else ()
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
                self.visit_at(value, Place(_names(one)), self.outer)
            return
        names = tuple(name for target in targets for name in _names(target))
        self.note_address(node.value, names)
        self.visit_at(node.value, Place(names), self.outer)

    def returned(self, node: Any) -> None:
        if node.value is not None:
            self.visit_at(node.value, self.place if self.place.names else Place(()), self.outer)

    def dictionary(self, node: ast.Dict) -> None:
        for key, value in zip(node.keys, node.values, strict=True):
            if key is not None:
                self.visit(key)
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
        other = spelled(node.left) or spelled(node.comparators[-1])
        for part in (node.left, *node.comparators):
            self.visit_at(part, Place((), callee=other), self.outer)

    # Expressions

    def name(self, node: ast.Name) -> None:
        if node.id in self.bare_names and id(node) not in self.silent:
            self.bare(node)

    def attribute(self, node: ast.Attribute) -> None:
        root, inner = _root(node)
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
        name = _plain(node)
        if name:
            self.started.append((self.scope, name, form))
            found = find(name, self.scope, node.lineno) if "." not in name else None
            for binding in found[1] if found else ():
                if binding.how == "for" and binding.value is not None:
                    looped = spelled(binding.value).removesuffix(".values")
                    self.started.append((self.scope.parent or self.scope, looped, form))

    def made(self, node: ast.expr, dotted: str, known: catalog.Known, form: Form, said: calls.Read) -> Pending:
        """Note a use, with what its place and its arguments say."""
        place = self.place
        evidence = Evidence(target=said.target, modules=said.modules, spec=said.spec, attributes=list(said.attributes))
        evidence.names = [*said.names, *place.names]
        evidence.callee = place.callee
        fixed = catalog.LIBRARY_CATEGORIES.get(known.kind)
        if fixed is not None:
            evidence.fixed = Finding(fixed, f"{known.kind} stands in for it", 3)
        elif known.family == "open":
            evidence.fixed = Finding(Category.FILESYSTEM, "mock_open stands in for open", 3)
        if known.family == "sentinel":
            evidence.names.insert(0, dotted.rpartition(".")[2])
        target = said.target or (said.modules[0] if said.modules else "") or (place.names[0] if place.names else "")
        if known.family == "mock" and isinstance(node, ast.Call):
            own = spelled(node.func).rpartition(".")[2]
            if own not in catalog.MOCK_CLASSES:  # a class derived from a mock tells by its name
                evidence.names.append(own)
        use = Pending(node, known.kind, known.family, form, self.scope, target, evidence, outer=self.outer)
        use.holders = [(self.scope, name) for name in place.names]
        self.add(use)
        return use

    def add(self, use: Pending) -> None:
        self.uses.append(use)
        self.by_node[id(use.node)] = use


def _given(node: ast.AST) -> list[ast.expr]:
    return [*node.args, *(word.value for word in node.keywords)] if isinstance(node, ast.Call) else []


def _names(target: ast.expr | None) -> tuple[str, ...]:
    """The names that a value assigned to ``target`` gets."""
    if target is None:
        return ()
    if isinstance(target, ast.Subscript):
        key = literal(target.slice) or spelled(target.slice)
        owner = spelled(target.value)
        return tuple(filter(None, (key, owner)))
    text = spelled(target)
    return (text,) if text else ()


def _plain(node: ast.expr) -> str:
    """``name`` or ``self.name``, else ""."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return f"{node.value.id}.{node.attr}"
    return ""


def _root(node: ast.Attribute) -> tuple[str | None, ast.AST]:
    """The variable (``name`` or ``self.name``) that an attribute is read from, through calls and items."""
    inner: ast.AST = node.value
    last = ""
    while isinstance(inner, ast.Attribute | ast.Call | ast.Subscript):
        if isinstance(inner, ast.Attribute):
            last = inner.attr
        inner = inner.func if isinstance(inner, ast.Call) else inner.value
    if not isinstance(inner, ast.Name):
        return None, inner
    return (f"self.{last}" if inner.id in ("self", "cls") and last else inner.id), inner


HANDLERS: dict[type[ast.AST], Callable[[Visitor, Any], None]] = {
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
