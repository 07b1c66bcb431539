"""Addresses of our own service in a test: where the service really is."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from test_framework.migration.rewriter.events import CannotTell
from test_framework.migration.rewriter.http_requests import OWN
from test_framework.migration.rewriter.reading import Function
from test_framework.migration.rewriter.values import Const, Sym, repr_of

if TYPE_CHECKING:
    from test_framework.migration.rewriter.plan import Planner

__all__ = ["lead_to_service"]


def lead_to_service(planner: Planner) -> None:
    """Put ``service_url`` for addresses that nobody listens at. Raises CannotTell for those that the code holds."""
    bases = _bases(planner)
    if not bases:
        return
    for visited in planner.visited:
        if any(_base(part) for part in ast.walk(visited)):
            raise CannotTell("the address of the service is in the code under test: hand it in")
    found = set()
    for scope in (planner.scope, *sorted(planner.trace.fixtures - planner.plan.provided)):
        function = planner.functions.get(scope)
        found |= _replaced(planner, scope, function) if function is not None else set()
    if bases - found:
        raise CannotTell(f"{min(bases - found)} is not written in the test: hand service_url in")


def _bases(planner: Planner) -> set[str]:
    """Where requests go to by whole addresses."""
    proof = planner.data.http
    urls = [request.url for request in proof.requests] if proof else []
    texts = [str(url.value) for url in urls if isinstance(url, Const)]
    texts += [url.pattern or url.text.lstrip("f'\"") for url in urls if isinstance(url, Sym)]
    return {found[0] for text in texts if (found := OWN.match(text))}


def _base(node: ast.AST) -> str:
    found = OWN.match(node.value) if isinstance(node, ast.Constant) and isinstance(node.value, str) else None
    return found[0] if found else ""


def _kept(planner: Planner, statements: Sequence[ast.stmt]) -> Iterator[ast.AST]:
    """The parts of a function's body that stay."""
    for statement in statements:
        pos = planner.positions.of(statement)
        if pos in planner.edits.delete or pos in planner.edits.replace:
            continue
        inner = getattr(statement, "body", None)
        if isinstance(inner, list):
            yield from _kept(planner, inner)
        else:
            yield from ast.walk(statement)


def _replaced(planner: Planner, scope: str, function: Function) -> set[str]:
    within = [part for each in ast.walk(function) if isinstance(each, ast.JoinedStr) for part in each.values]
    found = set()
    for node in _kept(planner, function.body):
        base = _base(node)
        if not base or not isinstance(node, ast.Constant):
            continue
        if node in within:
            raise CannotTell("the address of the service is a part of a text: put service_url there")
        rest = str(node.value)[len(base) :]
        planner.edits.exprs[planner.positions.span(node)] = (
            "f" + repr_of(f"{{service_url}}{rest}") if rest else "service_url"
        )
        planner.edit(scope).want("service_url")
        found.add(base)
    return found
