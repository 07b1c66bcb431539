"""What is noted of a use when it is met: its target, its names, what the place says that it stands in."""

from __future__ import annotations

import ast

from test_framework.migration import calls, catalog
from test_framework.migration.categories import STRONG, Evidence, Finding
from test_framework.migration.model import Category, Form
from test_framework.migration.pending import Pending, Place
from test_framework.migration.resolving import literal, spelled
from test_framework.migration.scopes import Scope

__all__ = ["given", "names_of", "noted", "plain", "root_of"]

NOWHERE = Scope("module", ast.Module([], []), None)


def noted(node: ast.expr, dotted: str, known: catalog.Known, said: calls.Read, place: Place) -> Pending:
    """A use with all the evidence that its arguments and its place give."""
    evidence = Evidence(target=said.target, modules=said.modules, spec=said.spec, attributes=list(said.attributes))
    evidence.names = [*said.names, *place.names]
    evidence.callee = place.callee
    fixed = catalog.LIBRARY_CATEGORIES.get(known.kind)
    if fixed is not None:
        evidence.fixed = Finding(fixed, f"{known.kind} stands in for it", STRONG)
    elif known.family == "open":
        evidence.fixed = Finding(Category.FILESYSTEM, "mock_open stands in for open", STRONG)
    if known.family == "sentinel":
        evidence.names.insert(0, dotted.rpartition(".")[2])
    if known.family == "mock" and isinstance(node, ast.Call):
        own = spelled(node.func).rpartition(".")[2]
        if own not in catalog.MOCK_CLASSES:  # a class derived from a mock tells by its name
            evidence.names.append(own)
    target = said.target or next(iter(said.modules), "") or next(iter(place.names), "")
    return Pending(node, known.kind, known.family, Form.CALL, NOWHERE, target, evidence)


def given(node: ast.AST) -> list[ast.expr]:
    return [*node.args, *(word.value for word in node.keywords)] if isinstance(node, ast.Call) else []


def names_of(target: ast.expr | None) -> tuple[str, ...]:
    """The names that a value assigned to ``target`` gets."""
    if target is None:
        return ()
    if isinstance(target, ast.Subscript):
        key = literal(target.slice) or spelled(target.slice)
        owner = spelled(target.value)
        return tuple(filter(None, (key, owner)))
    text = spelled(target)
    return (text,) if text else ()


def plain(node: ast.expr) -> str:
    """``name`` or ``self.name``, else ""."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return f"{node.value.id}.{node.attr}"
    return ""


def root_of(node: ast.Attribute) -> tuple[str | None, ast.AST]:
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
