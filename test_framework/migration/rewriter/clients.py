"""Which real client takes a mock's place: by the service, and by how the code under test calls it."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import TYPE_CHECKING

from test_framework.migration.rewriter.events import CannotTell, Op, Setup, Trace
from test_framework.migration.rewriter.http_requests import is_request
from test_framework.migration.rewriter.kinds import normal
from test_framework.migration.rewriter.values import Const, ListV, Root, StandIn, Value
from test_framework.migration.rewriter.wanted import Client
from test_framework.migration.rewriter.websocket_data import Socket, opened_by

if TYPE_CHECKING:
    from test_framework.migration.rewriter.plan import Planner

__all__ = ["client_of", "family_of", "is_pipeline"]


def family_of(planner: Planner, root: Root) -> int:
    """Mocks that lead to each other are one service."""
    for other in planner.trace.roots:
        if (
            any(isinstance(value, StandIn) and value.root is root for value in other.results.values())
            and other is not root
        ):
            return family_of(planner, other)
    return id(root)


def client_of(planner: Planner, kind: str, root: Root) -> Client:
    ops = [
        op
        for op in planner.trace.ops
        if op.root.kind == kind and normal(op.path)[1] not in (None, "pipeline", "transaction", "acquire", "close")
    ]
    if kind == "websocket":
        return Client(_socket_name(planner, root))
    if kind == "http":
        return _http_client(planner, root)
    direct = [op for op in ops if normal(op.path)[0] != "pipeline" and not is_pipeline(planner.trace, op.root)]
    plain = [op for op in direct if not op.awaited]
    if kind == "redis":
        if plain and len(plain) < len(direct):
            raise CannotTell("some calls are awaited and some are not")
        return _redis_client(planner, waits=not plain, decoded=not _bytes(planner, ops))
    if plain:
        raise CannotTell(f"the code under test calls {plain[0].method} without await: it needs a client of its own")
    if kind == "postgres" and _is_pool(planner, root):
        return Client("real_pool")
    return Client({"postgres": "real_postgres", "clickhouse": "real_clickhouse"}[kind])


def _socket_name(planner: Planner, root: Root) -> str:
    """One name for all connections, as long as they are handed over; that of the connection for what opens it."""
    if root.how == "call":
        return "isolated_websocket"
    opened = opened_by(root)
    if opened is None:
        raise CannotTell("a patch puts the WebSocket in: let the code under test connect to isolated_websocket.url")
    return Socket(planner, opened).name


def _http_client(planner: Planner, root: Root) -> Client:
    if root.spec.startswith(("requests.", "aiohttp.")):
        raise CannotTell(f"{root.spec} has another face than httpx: make a real one for service_url")
    ops = [op for op in planner.trace.ops if op.root.kind == "http" and is_request(op.path)]
    if any(op.entered for op in ops):
        raise CannotTell("answers are entered, as aiohttp's are: make a real session for service_url")
    plain = [op for op in ops if not op.awaited]
    if plain and len(plain) < len(ops):
        raise CannotTell("some calls are awaited and some are not")
    if not plain:
        return Client("real_http_client")
    if isinstance(planner.test, ast.AsyncFunctionDef):
        raise CannotTell("a client that waits by itself stops the loop that the service may run in")
    planner.plan.local_fixtures.add("real_http_sync")
    return Client("real_http_sync", waits=False)


def _redis_client(planner: Planner, *, waits: bool, decoded: bool) -> Client:
    name = "real_redis" + ("" if waits else "_sync") + ("" if decoded else "_bytes")
    if name != "real_redis":
        planner.plan.local_fixtures.add(name)
    return Client(name, waits, decoded)


def _bytes(planner: Planner, ops: Sequence[Op]) -> bool:
    return any(_has_bytes(op.result) for op in ops if op.result is not None and op.configured)


def _is_pool(planner: Planner, root: Root) -> bool:
    events: list[Op | Setup] = [*planner.trace.ops, *planner.trace.setups]
    used = {event.path[0] for event in events if event.root is root and event.path}
    return bool({"acquire", "connection"} & (used | {path[0] for path in root.results if path}))


def is_pipeline(trace: Trace, root: Root) -> bool:
    """Whether the mock is what another one's ``pipeline()`` gives."""
    return any(
        isinstance(value, StandIn) and value.root is root and normal((*path, "x"))[0] == "pipeline"
        for other in trace.roots
        for path, value in other.results.items()
    )


def _has_bytes(value: Value | None) -> bool:
    if isinstance(value, Const):
        return isinstance(value.value, bytes)
    if isinstance(value, ListV):
        return any(_has_bytes(each) for each in value.items)
    items = getattr(value, "items", None)
    return isinstance(items, dict) and any(isinstance(key, bytes) or _has_bytes(each) for key, each in items.items())
