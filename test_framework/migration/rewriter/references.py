"""The parts of an ``assert`` that speak of the calls of a mock."""

from __future__ import annotations

import ast

from test_framework.migration.rewriter.events import CannotTell, Check
from test_framework.migration.rewriter.values import ArgRef, CountRef

__all__ = ["references"]


def references(check: Check) -> list[tuple[ast.expr, ArgRef | CountRef]]:
    """The counts of an ``assert``, and the largest parts of it that are arguments of calls."""
    found: list[tuple[ast.expr, ArgRef | CountRef]] = []
    for outer, value in check.refs:
        if isinstance(value, CountRef):
            found.append((outer, value))
            continue
        inside = {id(part) for part in ast.walk(outer)}
        arguments = [(node, each) for node, each in check.parts if id(node) in inside and isinstance(each, ArgRef)]
        ones = [(node, each) for node, each in arguments if each.part == "one"]
        within = {id(part) for node, _ in ones for part in ast.walk(node) if part is not node}
        ones = [(node, each) for node, each in ones if id(node) not in within]
        if not ones:
            raise CannotTell("the arguments of a call are asserted in a way that is not understood")
        found += ones
    return found
