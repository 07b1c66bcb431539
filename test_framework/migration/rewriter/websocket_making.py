"""The real connections come in where the mocks of them were made, under the same names."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from test_framework.migration.rewriter.events import CannotTell
from test_framework.migration.rewriter.handing import only_given
from test_framework.migration.rewriter.websocket_data import SILENCE, Socket, new_name

if TYPE_CHECKING:
    from test_framework.migration.rewriter.plan import Planner

__all__ = ["connect"]


def connect(planner: Planner) -> None:
    """Make the connections, and let their other ends say what the mocks were told to receive."""
    sockets = [each for each in planner.data.sockets.values() if each.root.parent is None]
    if any(each.side != "server" for each in sockets):
        planner.edit(planner.scope).first.append(SILENCE)
    for socket in sockets:
        _make(planner, socket)


def _make(planner: Planner, socket: Socket) -> None:
    root = socket.root
    here = root.scope == planner.scope
    if not here and not (root.given_by == root.scope and only_given(planner, root)):
        raise CannotTell("the WebSocket is made in a fixture or a set-up that does more: make it in the test")
    late = []
    for setup, lines in socket.script():
        if setup is not None and setup.place.scope == planner.scope:
            for line in lines:
                planner.before(setup.place.anchor, line)
        else:
            late += lines
    names = {name: new_name(planner, name) for name in socket.names}
    planner.edit(planner.scope).rename.update({old: new for old, new in names.items() if old != new})
    if here:
        _made_here(planner, socket, late)
        return
    planner.edit(planner.scope).first += [f"{socket.name} = {socket.making}", *late]
    planner.edit(planner.scope).remove.add(socket.old_name)
    if "::" not in root.scope:
        planner.plan.provided.add(root.scope)


def _made_here(planner: Planner, socket: Socket, late: list[str]) -> None:
    root = socket.root
    assert isinstance(root.node, ast.expr)
    if not late:
        planner.edits.exprs[planner.positions.span(root.node)] = socket.making
        return
    statement = root.statement
    if not isinstance(statement, ast.Assign) or statement.value is not root.node:
        raise CannotTell("the WebSocket is made in a way that is not understood")
    planner.edits.replace[planner.positions.of(statement)] = [f"{socket.name} = {socket.making}", *late]
