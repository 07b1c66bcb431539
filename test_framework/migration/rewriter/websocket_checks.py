"""WebSockets: what a mock's assertions say, said of what the other end got."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import replace

from test_framework.migration.rewriter.events import CannotTell, Check
from test_framework.migration.rewriter.references import references
from test_framework.migration.rewriter.values import ArgRef, Const, CountRef, DictV, ListV, Value
from test_framework.migration.rewriter.wanted import is_any, said
from test_framework.migration.rewriter.websocket_data import SENDS, Socket, new_name

__all__ = ["websocket_assertion"]


def websocket_assertion(check: Check, socket: Socket) -> tuple[list[str], list[str], list[tuple[ast.expr, str]]]:
    """Statements at the test's beginning, statements instead of the assertion, expressions within it."""
    if check.what == "refs":
        return [], [], [_reference(node, ref, check, socket) for node, ref in references(check)]
    method = check.method
    name = _called(check.node, check.method, socket)
    if method == "accept":
        return [], [f"assert {'not ' if 'not' in check.what else ''}{name}.accepted"], []
    if method in ("close", "aclose"):
        return [], _closed(check, socket, name), []
    if check.what in ("assert_not_called", "assert_not_awaited"):
        return [], [f"assert not {_got(method, socket, name)}"], []
    if check.what in ("assert_has_calls", "assert_has_awaits"):
        return [], _in_turn(check, socket, name), []
    if check.what.endswith("_with") or check.what in ("assert_any_call", "assert_any_await"):
        return [], [_with(check, socket, name)], []
    once = check.what.endswith("_once")
    got = _got(method, socket, name)
    return [], [f"assert len({got}) == 1" if once else f"assert {got}"], []


def _called(node: ast.AST, method: str, socket: Socket) -> str:
    """How the assertion itself calls the connection."""
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Call):
        inner = node.func if isinstance(node, ast.Call) else node.value
        if isinstance(node, ast.Attribute) and node.attr == method:
            return new_name(socket.planner, inner.id) if isinstance(inner, ast.Name) else ast.unparse(inner)
        node = inner
    return socket.name


def _got(method: str, socket: Socket, name: str) -> str:
    """What the other end got by this method, or what this end received by it."""
    if method in SENDS:
        sends = {step for step in socket.used if step in SENDS}
        if len(sends) > 1:
            raise CannotTell("messages are sent in several ways: which is which must be said by hand")
        json = "_json" if SENDS[method] else ""
        if socket.side == "server":
            return f"await {name}.told{json}()"
        if not socket.is_alone:
            raise CannotTell("several WebSockets send: which message is whose must be said by hand")
        return f"await isolated_websocket.received{json}()"
    if socket.side == "server" and method.startswith("receive"):
        return f"{name}.heard"
    raise CannotTell(f"that {method or 'the mock'} was called leaves nothing that could be asserted")


def _value(check: Check, args: Sequence[Value], kwargs: dict[str, Value]) -> str:
    value = args[0] if args else kwargs.get("data", kwargs.get("message"))
    if value is None or len(args) > 1 or is_any(value) or _has_any(value):
        raise CannotTell(f"what {check.method} sends cannot be told from the source")
    return said(value, f"what {check.method} sends")


def _has_any(value: Value) -> bool:
    if isinstance(value, DictV):
        return any(is_any(each) or _has_any(each) for each in value.items.values())
    return isinstance(value, ListV) and any(is_any(each) or _has_any(each) for each in value.items)


def _with(check: Check, socket: Socket, name: str) -> str:
    if check.method not in SENDS:
        raise CannotTell(f"that {check.method or 'the mock'} was called so leaves nothing that could be asserted")
    value, got = _value(check, check.args, check.kwargs), _got(check.method, socket, name)
    if check.what.endswith("_once_with"):
        return f"assert {got} == [{value}]"
    return f"assert {value} in {got}" if "any" in check.what else f"assert ({got})[-1] == {value}"


def _in_turn(check: Check, socket: Socket, name: str) -> list[str]:
    if check.method not in SENDS:
        raise CannotTell("the calls that are asserted cannot be told from the source")
    values = [_value(check, args, kwargs) for args, kwargs in check.calls()]
    sent = [op for op in socket.ops if op.path == check.path]
    if len(sent) != len(values) or any(op.conditional for op in sent):
        raise CannotTell("more is sent than is asserted, or how much cannot be told from the source")
    return [f"assert {_got(check.method, socket, name)} == [{', '.join(values)}]"]


def _closed(check: Check, socket: Socket, name: str) -> list[str]:
    found = f"await {name}.closed_with()" if socket.side == "server" else f"{name}.close_code"
    if check.what in ("assert_not_called", "assert_not_awaited"):
        return [f"assert {found} is None"]
    op = next((each for each in socket.ops if each.path == check.path), None)
    if op is None:
        raise CannotTell("the close that is asserted is not made by any code in sight")
    given = check if check.what.endswith("_with") else op
    code = given.args[0] if given.args else given.kwargs.get("code", Const(1000))
    reason = given.args[1] if len(given.args) > 1 else given.kwargs.get("reason")
    shown = "1000" if is_any(code) else said(code, "the code of the close")
    lines = [f"assert {found} == {shown}"]
    if reason is not None and not is_any(reason):
        end = f"{name}.peer.close_reason" if socket.side == "server" else f"{name}.close_reason"
        lines.append(f"assert {end} == {said(reason, 'the reason of the close')}")
    return lines


def _reference(node: ast.expr, ref: ArgRef | CountRef, check: Check, socket: Socket) -> tuple[ast.expr, str]:
    of = replace(check, root=ref.root, path=ref.path)
    if of.method in ("accept", "close", "aclose"):
        raise CannotTell(f"how {of.method} was called is asserted in a way that is not understood")
    got = _got(of.method, socket, _called(node, of.method, socket))
    if isinstance(ref, CountRef):
        return node, f"bool({got})" if ref.what in ("called", "awaited") else f"len({got})"
    if ref.which not in (0, "data", "message"):
        raise CannotTell("the arguments of a call are asserted in a way that is not understood")
    return node, f"({got})[{ref.index}]"
