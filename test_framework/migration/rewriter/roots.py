"""The mocks of one test that stand in for services, and what is planned for it."""

from __future__ import annotations

from dataclasses import dataclass, field

from test_framework.migration.rewriter.edits import Edits
from test_framework.migration.rewriter.events import Check, Op, Setup, Trace
from test_framework.migration.rewriter.http_requests import asks_url, is_foreign, is_request
from test_framework.migration.rewriter.kinds import kind_of, normal
from test_framework.migration.rewriter.reading import TestCase
from test_framework.migration.rewriter.values import ListV, Root, StandIn

__all__ = ["Plan", "our_roots"]


@dataclass
class Plan:
    """The changes that one test needs, to itself and to the fixtures it stands on; or why there are none."""

    test: TestCase
    trace: Trace
    edits: Edits = field(default_factory=Edits)
    reason: str | None = None
    touched: set[str] = field(default_factory=set)
    provided: set[str] = field(default_factory=set)
    local_fixtures: set[str] = field(default_factory=set)
    ours: list[Root] = field(default_factory=list)
    rewritten: int = 0


def our_roots(trace: Trace) -> list[Root]:
    """The mocks that stand in for a service of ours, with the kind noted in each; ``foreign`` where it is not ours."""
    methods = _methods(trace)
    asked: list[Op | Check] = [op for op in trace.ops if is_request(op.path)]
    asked += [check for check in trace.checks if is_request(check.path)]
    for root in trace.roots:
        told = {path[0] for path in [*root.results, *root.effects] if path and path[0] != "()"}
        calls = [each for each in asked if each.root is root]
        root.kind = kind_of(root, methods.get(id(root), set()) | told, asks_urls=any(map(asks_url, calls)))
        if root.kind == "http" and is_foreign(calls):
            root.kind, root.foreign = None, True
    # What a mock of ours gives is ours too, and so is what gives one.
    for _ in range(3):
        for root in trace.roots:
            for value in root.results.values():
                if isinstance(value, StandIn) and value.root is not root:
                    root.kind = root.kind or (None if root.foreign else value.root.kind)
                    value.root.kind = value.root.kind or root.kind
    for root in trace.roots:
        if root.kind == "http":
            _note_answers(root)
    return [root for root in trace.roots if root.kind is not None]


def _methods(trace: Trace) -> dict[int, set[str]]:
    """What is called, asserted and told of each mock."""
    found: dict[int, set[str]] = {}
    events: list[Op | Check | Setup] = [*trace.ops, *trace.checks, *trace.setups]
    for event in events:
        method = normal(event.path if event.path[-1:] != ("()",) else event.path[:-1])[1]
        if method:
            found.setdefault(id(event.root), set()).add(method)
        if event.path[:1] == ("acquire",):
            found.setdefault(id(event.root), set()).add("acquire")
    return found


def _note_answers(root: Root) -> None:
    """What the calls of a client give stands in for answers."""
    given = [value for path, value in root.results.items() if path[-1:] == ("()",) and is_request(path[:-1])]
    given += [each for effect in root.effects.values() if isinstance(effect, ListV) for each in effect.items]
    for each in given:
        if isinstance(each, StandIn) and each.root is not root:
            each.root.kind, each.root.answer = "http", True
