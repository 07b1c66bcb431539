"""What a value may be or hold: a mock, a fixture's object, the answer of a function elsewhere.

Flow-insensitive: everything that a variable is ever given counts.
"""

from __future__ import annotations

import ast
import builtins
import sys
from collections.abc import Callable
from typing import Any

from test_framework.migration import calls, catalog
from test_framework.migration.facts import Atom
from test_framework.migration.model import Form
from test_framework.migration.pending import Pending
from test_framework.migration.resolving import find, literal, resolve
from test_framework.migration.scopes import Binding, Scope
from test_framework.migration.visitor import Visitor

__all__ = ["Values"]

Comprehension = ast.ListComp | ast.SetComp | ast.GeneratorExp
DEPTH = 14
PASSING = frozenset(("iter", "next", "list", "tuple", "set", "dict", "reversed", "sorted", "zip", "enumerate", "vars"))
ENTERING = frozenset(("enter_context", "enter_async_context", "enterContext", "enterAsyncContext", "enterClassContext"))
MAKERS = frozenset(("mock", "open"))
HOLDING_CONTEXTS = frozenset(("moto",))


class Values:
    """Answers what expressions of one visited file may be or hold."""

    def __init__(self, visitor: Visitor) -> None:
        self.visitor = visitor
        self.known: dict[tuple[int, int | str], list[Atom]] = {}
        """Answers given before; an empty one while it is being looked for, which ends circles."""

    def returned(self, scope: Scope, depth: int = 0) -> list[Atom]:
        """What the function of ``scope`` returns or yields."""
        key = (id(scope), "()")
        if key in self.known or depth > DEPTH:
            return self.known.get(key, [])
        self.known[key] = []
        atoms = [atom for value in scope.outputs for atom in self.of(value, scope, depth + 1)]
        if not atoms and any(not isinstance(value, ast.Constant) for value in scope.outputs):
            atoms = self._held_by_context(scope)
        self.known[key] = _distinct(atoms)
        return self.known[key]

    def _held_by_context(self, scope: Scope) -> list[Atom]:
        """What is yielded while a whole service is mocked is a client of the mock."""
        for context in scope.yields_in:
            use = self.visitor.by_node.get(id(context))
            if use is not None and use.kind in HOLDING_CONTEXTS:
                return [_atom(use, "holds")]
        return []

    def of(self, value: ast.expr, scope: Scope, depth: int = 0) -> list[Atom]:
        """What ``value`` may be or hold."""
        handler = _HANDLERS.get(type(value))
        key = (id(value), id(scope))
        if handler is None or key in self.known or depth > DEPTH:
            return self.known.get(key, [])
        self.known[key] = []
        self.known[key] = _distinct(handler(self, value, scope, depth))
        return self.known[key]

    def name(self, value: ast.Name, scope: Scope, depth: int) -> list[Atom]:
        found = find(value.id, scope, 1 << 30)
        return self.variable(value.id, found[0], depth) if found is not None else []

    def variable(self, name: str, owner: Scope, depth: int) -> list[Atom]:
        """What a variable of ``owner`` is ever given, and what is ever put into it."""
        key = (id(owner), name)
        if key in self.known or depth > DEPTH:
            return self.known.get(key, [])
        self.known[key] = []
        atoms = [atom for binding in owner.bindings[name] for atom in self.bound(name, binding, owner, depth)]
        held = [atom for given, where in owner.attributes.get(name, ()) for atom in self.of(given, where, depth + 1)]
        given = [atom._replace(strength="given") for atom in _holding(held)]
        self.known[key] = _distinct([*atoms, *given])
        return self.known[key]

    def bound(self, name: str, binding: Binding, owner: Scope, depth: int) -> list[Atom]:
        """What one binding gives."""
        if binding.how == "param":
            return [Atom("fixture", name, "is")]
        if binding.how in ("value", "with", "for") and binding.value is not None:
            return self.of(binding.value, owner, depth + 1)
        if binding.how in ("def", "class") and (inner := self.scope_of(binding.node, owner)) is not None:
            is_class = binding.how == "class"
            inside = self.held_by_class(inner, depth + 1) if is_class else self.returned(inner, depth + 1)
            return _holding(_free(inside, inner))
        if binding.how == "import" and binding.dotted is not None and _is_local(binding.dotted):
            return [Atom("call", binding.dotted, "name")]
        return []

    def scope_of(self, node: ast.AST | None, owner: Scope) -> Scope | None:
        """The scope of a function or class, also where the walk has not been."""
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            return None
        known = self.visitor.scopes.get(id(node))
        if known is not None:
            return known
        kind = "class" if isinstance(node, ast.ClassDef) else "function"
        return self.visitor.enter(Scope(kind, node, owner, node.name), node)

    def held_by_class(self, scope: Scope, depth: int) -> list[Atom]:
        """What instances of a class hold: what the class body or a method gives to ``self``."""
        key = (id(scope), "class")
        if key in self.known or depth > DEPTH:
            return self.known.get(key, [])
        self.known[key] = []
        values = [(one.value, scope) for bindings in scope.bindings.values() for one in bindings if one.how == "value"]
        given = [*values, *(pair for pairs in scope.attributes.values() for pair in pairs)]
        atoms = [atom for value, where in given if value is not None for atom in self.of(value, where, depth + 1)]
        self.known[key] = _distinct([atom for atom in atoms if atom.tag == "mock"])
        return self.known[key]

    def attribute(self, value: ast.Attribute, scope: Scope, depth: int) -> list[Atom]:
        if isinstance(value.value, ast.Name) and value.value.id in ("self", "cls"):
            owner = scope.enclosing_class()
            given = owner.attributes.get(value.attr, []) if owner is not None else []
            atoms = [atom for one, where in given for atom in self.of(one, where, depth + 1)]
            if owner is not None and value.attr in owner.bindings:
                atoms += self.variable(value.attr, owner, depth + 1)
            return atoms
        return [_read(atom) for atom in self.of(value.value, scope, depth + 1) if atom.strength in ("is", "attribute")]

    def call(self, value: ast.Call, scope: Scope, depth: int) -> list[Atom]:
        use = self.visitor.by_node.get(id(value))
        if use is not None:
            return self.used(use, value, scope, depth)
        function = value.func
        if isinstance(function, ast.Attribute):
            if function.attr in ENTERING and value.args:
                return self.of(value.args[0], scope, depth + 1)
            if function.attr == "getfixturevalue":
                name = literal(value.args[0]) if value.args else None
                return [Atom("fixture", name, "is")] if name else []
        if isinstance(function, ast.Name) and _is_builtin(function.id, scope):
            return self.elements(value, scope, depth) if function.id in PASSING else []
        return [*self.answered(function, scope, depth), *_holding(self.arguments(value, scope, depth))]

    def used(self, use: Pending, value: ast.Call, scope: Scope, depth: int) -> list[Atom]:
        """What a use of a mock gives back."""
        if use.family in MAKERS or use.family == "library":
            return [] if use.kind in HOLDING_CONTEXTS or use.form is Form.REFERENCE else [_atom(use, "is")]
        if use.family != "patch" or use.kind.endswith("dict"):
            return []
        if use.kind.endswith("multiple"):
            return [_atom(use, "holds")]
        base = use.kind.removeprefix("mocker.")
        new = calls.argument(value, {"patch": 1, "patch.object": 2}.get(base, -1), "new")
        if new is not None and not (isinstance(new, ast.Attribute) and new.attr == "DEFAULT"):
            return self.of(new, scope, depth + 1)
        factory = calls.argument(value, -1, "new_callable")
        dotted = resolve(factory, scope) if factory is not None else None
        return [] if factory is not None and not (dotted and catalog.known(dotted)) else [_atom(use, "is")]

    def answered(self, function: ast.expr, scope: Scope, depth: int) -> list[Atom]:
        """What calling ``function`` gives: an answer of a mock, of a function of this file, of one elsewhere."""
        if isinstance(function, ast.Attribute):
            asked = self.of(function.value, scope, depth + 1)
            atoms = [_read(atom) for atom in asked if atom.strength in ("is", "attribute") and atom.tag != "call"]
            if atoms or (isinstance(function.value, ast.Name) and function.value.id in ("self", "cls")):
                return atoms or self.method(function, scope, depth)
        if isinstance(function, ast.Name):
            found = find(function.id, scope, 1 << 30)
            binding = found[1][-1] if found is not None else None
            if found is not None and binding is not None and binding.how in ("def", "class"):
                inner = self.scope_of(binding.node, found[0])
                if inner is None:
                    return []
                if binding.how == "class":
                    return _holding(self.held_by_class(inner, depth + 1))
                return _free(self.returned(inner, depth + 1), inner)
            if binding is not None and binding.how != "import":
                return [_read(atom) for atom in self.of(function, scope, depth + 1) if atom.strength == "is"]
        dotted = resolve(function, scope)
        return [Atom("call", dotted, "is")] if dotted is not None and "()" not in dotted and _is_local(dotted) else []

    def method(self, function: ast.Attribute, scope: Scope, depth: int) -> list[Atom]:
        owner = scope.enclosing_class()
        bindings = owner.bindings.get(function.attr, []) if owner is not None else []
        if owner is None or not bindings or bindings[-1].how != "def":
            return []
        inner = self.scope_of(bindings[-1].node, owner)
        return _free(self.returned(inner, depth + 1), inner) if inner is not None else []

    def arguments(self, value: ast.Call, scope: Scope, depth: int) -> list[Atom]:
        parts = [*value.args, *(word.value for word in value.keywords)]
        atoms = [atom for part in parts for atom in self.of(part, scope, depth + 1)]
        return [atom for atom in atoms if atom.strength != "name"]

    def elements(self, value: ast.AST, scope: Scope, depth: int) -> list[Atom]:
        parts = [part for part in ast.iter_child_nodes(value) if isinstance(part, ast.expr)]
        parts += [part.value for part in ast.iter_child_nodes(value) if isinstance(part, ast.keyword)]
        return _holding([atom for part in parts for atom in self.of(part, scope, depth + 1)])

    def inner(self, value: ast.Await | ast.Starred | ast.NamedExpr, scope: Scope, depth: int) -> list[Atom]:
        return self.of(value.value, scope, depth + 1)

    def item(self, value: ast.Subscript, scope: Scope, depth: int) -> list[Atom]:
        return [_read(atom) for atom in self.of(value.value, scope, depth + 1) if atom.strength != "name"]

    def choice(self, value: ast.IfExp, scope: Scope, depth: int) -> list[Atom]:
        return [*self.of(value.body, scope, depth + 1), *self.of(value.orelse, scope, depth + 1)]

    def either(self, value: ast.BoolOp, scope: Scope, depth: int) -> list[Atom]:
        return [atom for part in value.values for atom in self.of(part, scope, depth + 1)]

    def lambda_(self, value: ast.Lambda, scope: Scope, depth: int) -> list[Atom]:
        own = {one.arg for one in ast.walk(value.args) if isinstance(one, ast.arg)}
        atoms = self.of(value.body, scope, depth + 1)
        return _holding([atom for atom in atoms if atom.ref not in own])

    def elements_of(self, value: Comprehension, scope: Scope, depth: int) -> list[Atom]:
        return _holding(self.of(value.elt, scope, depth + 1))

    def mapping(self, value: ast.DictComp, scope: Scope, depth: int) -> list[Atom]:
        return _holding(self.of(value.value, scope, depth + 1))


def _atom(use: Pending, strength: str) -> Atom:
    found = use.decided()
    return Atom("mock", use.kind, strength, found.category.value, found.why)


def _holding(atoms: list[Atom]) -> list[Atom]:
    return [
        atom if atom.strength == "given" else atom._replace(strength="holds")
        for atom in atoms
        if atom.strength != "name"
    ]


def _read(atom: Atom) -> Atom:
    return atom._replace(strength="attribute") if atom.tag == "fixture" else atom


def _free(atoms: list[Atom], scope: Scope) -> list[Atom]:
    """What leaves a helper: not its own parameters, which are no fixtures, nor what it puts into larger objects."""
    atoms = [atom for atom in atoms if atom.strength != "given"]
    return [atom for atom in atoms if atom.tag != "fixture" or atom.ref not in scope.bindings]


def _distinct(atoms: list[Atom]) -> list[Atom]:
    return list(dict.fromkeys(atoms))


def _is_builtin(name: str, scope: Scope) -> bool:
    return hasattr(builtins, name) and find(name, scope, 1 << 30) is None


def _is_local(dotted: str) -> bool:
    """Whether a dotted name may lie in the scanned tree."""
    root = dotted.partition(".")[0]
    return "." in dotted and root not in sys.stdlib_module_names and root not in ("pytest", "unittest")


_HANDLERS: dict[type[ast.expr], Callable[[Values, Any, Scope, int], list[Atom]]] = {
    ast.Name: Values.name,
    ast.Attribute: Values.attribute,
    ast.Call: Values.call,
    ast.Await: Values.inner,
    ast.Starred: Values.inner,
    ast.NamedExpr: Values.inner,
    ast.Subscript: Values.item,
    ast.IfExp: Values.choice,
    ast.BoolOp: Values.either,
    ast.Lambda: Values.lambda_,
    ast.Tuple: Values.elements,
    ast.List: Values.elements,
    ast.Set: Values.elements,
    ast.Dict: Values.elements,
    ast.ListComp: Values.elements_of,
    ast.SetComp: Values.elements_of,
    ast.GeneratorExp: Values.elements_of,
    ast.DictComp: Values.mapping,
}
