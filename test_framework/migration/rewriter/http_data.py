"""HTTP: the test is read once more with the answers of the real service, to see whether it would still hold."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from test_framework.migration.rewriter.events import CannotTell, Op, Trace
from test_framework.migration.rewriter.http_model import MADE, ReferenceService
from test_framework.migration.rewriter.http_requests import Request, is_request, request_of, told_by
from test_framework.migration.rewriter.kinds import normal
from test_framework.migration.rewriter.values import Const, Root, StandIn, Value
from test_framework.migration.rewriter.wanted import Client

if TYPE_CHECKING:
    from test_framework.migration.rewriter.machine import Machine

__all__ = ["Again", "HttpProof", "Service", "prove"]

_ENDS = frozenset({"close", "aclose"})


class Service(Protocol):
    """What answers the calls of mocks in place of what they were told."""

    def answer(self, machine: Machine, op: Op, told: Value) -> Value:
        """The answer to one call; ``told`` for calls of other mocks."""


Again = Callable[[Service], Trace]


class HttpProof:
    """Answers as the service would.

    Args:
        roots: the mocks of its clients.
    """

    def __init__(self, client: Client, roots: list[Root]) -> None:
        self.client = client
        self.service = ReferenceService(client)
        self.nodes = {id(root.node) for root in roots}
        self.trace = Trace()

    def answer(self, machine: Machine, op: Op, told: Value) -> Value:
        if id(op.root.node) not in self.nodes:
            return told
        if op.path in ((), ("()",)):
            return told  # what makes a client
        if not is_request(op.path):
            if normal(op.path)[1] in _ENDS:
                return Const(None)
            raise CannotTell(f"{'.'.join(step for step in op.path if step != '()')} of a client is not understood")
        if not op.complete_arguments:
            raise CannotTell(f"the arguments of {op.method} cannot be told from the source")
        if op.conditional:
            raise CannotTell(f"whether {op.method} is called cannot be told from the source")
        request = request_of(op.path, op.args, op.kwargs, op)
        if self.client.waits and "data" in request.others:
            raise CannotTell("a form is sent, which the service does not take")
        return self.service.answer(request, told_by(machine, told))

    @property
    def requests(self) -> list[Request]:
        return self.service.requests

    def of(self, root: Root, path: tuple[str, ...]) -> list[Request]:
        """The requests that a method of this mock sends."""
        return [
            each
            for each in self.requests
            if each.op is not None and each.op.root.node is root.node and each.op.path == path
        ]

    @property
    def prepared(self) -> set[tuple[str, str]]:
        """Methods and paths of requests that only prepare the service."""
        found = set()
        for _, line in self.service.lines:
            node = ast.parse(line.removeprefix("await ")).body[0]
            call = node.value if isinstance(node, ast.Expr) else None
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "post":
                assert isinstance(call.args[0], ast.Constant)
                found.add(("POST", str(call.args[0].value)))
        return found


def prove(client: Client, roots: list[Root], first: Trace, again: Again, application: str) -> HttpProof:
    """What the service needs so that the test holds on it. Raises CannotTell when that cannot be shown."""
    if application:
        raise CannotTell(f"take real_http_client: what {application} answers there, a person must look at")
    proof = HttpProof(client, roots)
    proof.trace = trace = again(proof)
    _comes_to_its_end(trace, first)
    for op in trace.ops:
        if op.raises and id(op.root.node) in proof.nodes:
            raise CannotTell(f"{op.method} was told to raise {op.raises}: a real service fails in another way")
    for statement, holds in trace.asserts:
        if holds:
            continue
        said = ast.unparse(statement.test)
        short = said if len(said) <= 60 else f"{said[:57]}..."
        if holds is None:
            raise CannotTell(f"whether this holds on the service cannot be told from the source: {short}")
        raise CannotTell(f"this would not hold on the service: {short}")
    return proof


def _comes_to_its_end(trace: Trace, first: Trace) -> None:
    if trace.problems:
        raise CannotTell(trace.problems[0])
    if trace.raised:
        raise CannotTell(f"with the answers of the service the test would end with {trace.raised}")
    if any(not raised for _, raised in trace.expected):
        raise CannotTell("with the answers of the service nothing is raised where the test expects it")
    if len(trace.asserts) < len(first.asserts) or len(trace.checks) < len(first.checks):
        raise CannotTell("with the answers of the service the test would not come to its end")


def is_made(value: Value) -> bool:
    """Whether the service makes it by itself, or it is a part of what nobody knows."""
    return (isinstance(value, Const) and isinstance(value.value, str) and MADE in value.value) or isinstance(
        value, StandIn
    )
