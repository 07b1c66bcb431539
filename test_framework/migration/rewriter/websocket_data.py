"""WebSockets: a real connection in place of each mock, and the other end says what the mock was told to receive."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from test_framework.migration.rewriter.events import CannotTell, Op, Setup
from test_framework.migration.rewriter.values import ClassV, Const, DictV, ListV, ModuleV, Root, StandIn, Sym, Value
from test_framework.migration.rewriter.wanted import said

if TYPE_CHECKING:
    from test_framework.migration.rewriter.plan import Planner

__all__ = ["SENDS", "SILENCE", "Socket", "new_name", "opened_by"]

SENDS = {"send": False, "send_text": False, "send_bytes": False, "send_json": True}
"""Methods that send, and whether they send JSON."""
_RECEIVES = {"recv": False, "receive": False, "receive_text": False, "receive_bytes": False, "receive_json": True}
_ITERATES = {"__aiter__": False, "iter_text": False, "iter_bytes": False, "iter_json": True}
_SERVER = frozenset({"accept", "send_text", "send_bytes", "receive_text", "receive_bytes", *_ITERATES} - {"__aiter__"})
_KNOWN = {*SENDS, *_RECEIVES, *_ITERATES, "accept", "close", "aclose"}
_CODES = {
    "WebSocketDisconnect": 1000,
    "ConnectionClosedOK": 1000,
    "ConnectionClosed": 1000,
    "ConnectionClosedError": 1011,
}
SILENCE = "isolated_websocket.register_default_handler(lambda message: None)"


def opened_by(root: Root) -> Root | None:
    """The connection that a patched ``connect`` gives."""
    ways = (("()",), ("()", "__aenter__", "()"))
    given = [value for path, value in root.results.items() if path in ways and isinstance(value, StandIn)]
    return next((value.root for value in given if not value.path and value.root is not root), None)


class Socket:
    """One mock of a connection, and what is made of it.

    Args:
        side: ``server`` (Starlette's), ``library`` (a client of ``websockets``) or ``client`` (one that speaks JSON).
    """

    def __init__(self, planner: Planner, root: Root) -> None:
        self.planner = planner
        self.root = root
        self.ops = [op for op in planner.trace.ops if op.root is root]
        self.checks = [check for check in planner.trace.checks if check.root is root]
        self.used = {_step(op.path) for op in self.ops} | {_step(check.path) for check in self.checks}
        self.used |= {_step(path) for path in self._told()}
        self.side = self._side()
        self._refuse()

    def _told(self) -> list[tuple[str, ...]]:
        return [path for path in (*self.root.results, *self.root.effects) if path]

    def _side(self) -> str:
        if self.used & {"recv", "__aiter__"}:
            return "library"
        if self.used & _SERVER or re.search(r"(fastapi|starlette)\b", self.root.spec) or self.planner.trace.serves:
            return "server"
        return "client" if self.used & {"send_json", "receive_json"} else "library"

    # What no real connection does.

    def _refuse(self) -> None:
        unknown = sorted(self.used - _KNOWN - {"", "client_state", "application_state"})
        if unknown:
            raise CannotTell(f"{unknown[0]} of a WebSocket is not understood")
        if not isinstance(self.planner.test, ast.AsyncFunctionDef):
            raise CannotTell("a WebSocket needs an async test")
        if any(not op.awaited for op in self.ops if _step(op.path) in (*SENDS, *_RECEIVES)):
            raise CannotTell("the code calls the WebSocket without await")
        for op in self.ops:
            if _step(op.path) in SENDS:
                self._refuse_message(op)
        self._refuse_order()
        if any(path[:1] == (name,) for path in self.root.effects for name in ("accept", "close")):
            raise CannotTell("accept or close is told to raise: a real connection fails in another way")

    def _refuse_message(self, op: Op) -> None:
        method = _step(op.path)
        value = op.args[0] if op.args else op.kwargs.get("data", Const(None))
        if SENDS[method]:
            if not is_json(value):
                raise CannotTell(f"whether what {method} sends is JSON cannot be told from the source")
        elif isinstance(value, Const) and isinstance(value.value, bytes if method == "send_bytes" else str | bytes):
            return
        elif isinstance(value, Const | DictV | ListV):
            raise CannotTell(f"{method} sends {type(value).__name__[:-1].lower()}: a WebSocket takes text and bytes")
        elif not _is_text(op, value):
            raise CannotTell(f"whether what {method} sends is text cannot be told from the source")

    def _refuse_order(self) -> None:
        """A real connection takes nothing before it is accepted, nor after it is closed."""
        steps = [_step(op.path) for op in self.ops]
        if "accept" in steps[1:]:
            raise CannotTell("the code uses the WebSocket before it accepts it, or accepts it twice")
        ended = False
        for op, step in zip(self.ops, steps, strict=True):
            if ended and step in (*SENDS, *_RECEIVES, "close"):
                raise CannotTell(f"the code calls {step} after the end of the connection")
            ended = ended or step in ("close", "aclose") or bool(op.raises)

    # What is made of it.

    @property
    def making(self) -> str:
        """The expression that makes the real connection."""
        if self.side == "server":
            steps = {_step(op.path) for op in self.ops}
            accept = "accept=True" if "accept" not in steps and steps & {*SENDS, *_RECEIVES, *_ITERATES} else ""
            return f"await isolated_websocket.server_side({accept})"
        connected = "await isolated_websocket.connect()"
        return f"({connected}).socket" if self.side == "library" else connected

    def script(self) -> list[tuple[Setup | None, list[str]]]:
        """What the other end says, each part where the mock was told to receive it."""
        receiving = dict.fromkeys(path for path in self._told() if _step(path) in (*_RECEIVES, *_ITERATES))
        if len({_step(path) for path in receiving}) > 1:
            raise CannotTell("what the WebSocket receives is told in several ways, and their order is not known")
        found = [(self._setup(path), self._lines(path)) for path in receiving]
        ends = [(path, effect) for path, effect in self.root.effects.items() if _step(path) in SENDS]
        found += [(self._setup(path), [self._gone(effect)]) for path, effect in ends]
        if self.side != "server" and found and not self.is_alone:
            raise CannotTell("several WebSockets receive: which message is whose must be said by hand")
        return found

    def _setup(self, path: tuple[str, ...]) -> Setup | None:
        """Where the test tells the mock so."""
        here = [
            each
            for each in self.planner.trace.setups
            if each.root is self.root and each.path == path and each.place.scope == self.planner.scope
        ]
        if len(here) > 1:
            raise CannotTell("the WebSocket is told twice what it receives")
        return next(iter(here), None)

    def _lines(self, path: tuple[str, ...]) -> list[str]:
        told = self.root.effects.get(path, self.root.results.get(path))
        step = _step(path)
        if step in _ITERATES:
            if not isinstance(told, ListV):
                raise CannotTell("the messages that come one after another cannot be told from the source")
            return self._said([*told.items, ModuleV("ConnectionClosedOK")], is_json_text=_ITERATES[step])
        if path in self.root.effects:
            items = told.items if isinstance(told, ListV) else [told] if told is not None else []
        else:
            calls = [op for op in self.ops if _step(op.path) == step]
            if any(op.conditional for op in calls) or told is None:
                raise CannotTell("how often the WebSocket receives cannot be told from the source")
            items = [told] * len(calls)
        return self._said(items, is_json_text=_RECEIVES[step])

    def _said(self, items: Sequence[Value], *, is_json_text: bool) -> list[str]:
        lines: list[str] = []
        waiting: list[str] = []
        for item in items:
            code = _code(item)
            if code is None:
                waiting.append(_message(item, is_json_text=is_json_text))
                continue
            lines += self._says(waiting)
            waiting = []
            lines.append(self._leaves(code))
            break
        return lines + self._says(waiting)

    def _says(self, messages: Sequence[str]) -> list[str]:
        if self.side == "server":
            return [f"{self.name}.peer_says({', '.join(messages)})"] if messages else []
        return [f"isolated_websocket.broadcast({each})" for each in messages]

    def _leaves(self, code: int) -> str:
        if self.side == "server":
            return f"{self.name}.peer_leaves({'' if code == 1000 else code})"
        return f"await isolated_websocket.close_clients({'' if code == 1000 else code})"

    def _gone(self, effect: Value) -> str:
        """The other end has left before the code sends."""
        if self.side != "server" or not isinstance(effect, ModuleV) or not effect.name.endswith("WebSocketDisconnect"):
            raise CannotTell(
                "sending is told to raise: a real connection raises WebSocketDisconnect, when the client left"
            )
        return f"await {self.name}.peer.close()"

    @property
    def name(self) -> str:
        """How the rewritten test calls it."""
        return new_name(self.planner, self.old_name)

    @property
    def names(self) -> list[str]:
        """What the test calls it, in turn."""
        bound = self.planner.trace.bindings.items()
        return [name for (scope, name), root in bound if root is self.root and scope == self.planner.scope]

    @property
    def is_alone(self) -> bool:
        """Whether it is the test's only connection."""
        return sum(root.kind == "websocket" and root.how == "call" for root in self.planner.trace.roots) == 1

    @property
    def old_name(self) -> str:
        if not self.names:
            raise CannotTell("the WebSocket has no name in the test")
        return self.names[0]


def new_name(planner: Planner, name: str) -> str:
    """The name without the word that says it is a mock, where that is free."""
    plain = re.sub(r"^mock_|^fake_|_mock$", "", name)
    taken = {each.id for each in ast.walk(planner.test) if isinstance(each, ast.Name)} | planner.functions.keys()
    return plain if plain.isidentifier() and plain not in taken else name


def _step(path: tuple[str, ...]) -> str:
    """The method of the socket that a path begins with."""
    rest = [step for step in path if step != "()"]
    return rest[0] if rest else ""


def _code(value: Value) -> int | None:
    """The code that the connection ends with, if it ends."""
    if isinstance(value, ModuleV):
        name = value.name.rpartition(".")[2]
        if name not in _CODES:
            raise CannotTell(f"receiving is told to raise {name}: a real connection does so by itself, or not at all")
        given = next(iter(value.arguments), None)
        return given.value if isinstance(given, Const) and isinstance(given.value, int) else _CODES[name]
    if isinstance(value, ClassV):
        raise CannotTell("receiving is told to raise an error of your own")
    return None


def _message(value: Value, *, is_json_text: bool) -> str:
    if is_json_text:
        if not isinstance(value, DictV | ListV) or not is_json(value):
            raise CannotTell("what the WebSocket receives is no JSON object")
        return said(value, "what the WebSocket receives")
    if isinstance(value, Const) and not isinstance(value.value, str | bytes):
        raise CannotTell("a WebSocket receives text and bytes")
    if isinstance(value, DictV | ListV) or (isinstance(value, Sym) and value.pytype not in ("str", "bytes")):
        raise CannotTell("a WebSocket receives text and bytes")
    return said(value, "what the WebSocket receives")


def is_json(value: Value) -> bool:
    """Whether a value is surely the same after it went through JSON."""
    if isinstance(value, DictV):
        return all(isinstance(name, str) for name in value.items) and all(map(is_json, value.items.values()))
    if isinstance(value, ListV):
        return value.kind == "list" and all(map(is_json, value.items))
    if isinstance(value, Const):
        return value.value is None or isinstance(value.value, str | int | float | bool)
    return isinstance(value, Sym) and value.pytype in ("str", "int", "float")


def _is_text(op: Op, value: Value) -> bool:
    if isinstance(value, Sym) and value.pytype == "str":
        return True
    first = op.node.args[0] if op.node is not None and op.node.args else None
    if isinstance(first, ast.JoinedStr):
        return True
    return isinstance(first, ast.Call) and ast.unparse(first.func) in ("json.dumps", "dumps", "str")
