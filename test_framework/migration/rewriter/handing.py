"""The real clients come in where mocks were made: as parameters, under their own names."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from test_framework.migration.rewriter.events import CannotTell
from test_framework.migration.rewriter.http_requests import is_request
from test_framework.migration.rewriter.kinds import normal
from test_framework.migration.rewriter.naming import HELPER
from test_framework.migration.rewriter.values import Root
from test_framework.migration.rewriter.wanted import Client

if TYPE_CHECKING:
    from test_framework.migration.rewriter.plan import Planner

__all__ = ["hand_in", "only_given"]


def hand_in(planner: Planner) -> None:
    for root in planner.plan.ours:
        if root.answer:
            _drop(planner, root)
            continue
        client = planner.clients[id(root)]
        if root.kind == "websocket":
            continue
        if root.parent is not None or root.how != "call":
            continue
        _bindings(planner, root, client)
        if only_given(planner, root):
            if "::" not in root.scope:
                planner.plan.provided.add(root.scope)
            continue
        _replace_making(planner, root, client)
    _rename_aliases(planner)


def _rename_aliases(planner: Planner) -> None:
    """Names for a part of a mock, as for the connection of a pool."""
    for (scope, name), value in planner.trace.aliases.items():
        if value.root.kind in (None, "websocket") or value.root.answer or scope != planner.scope:
            continue
        if value.root.kind == "http" and is_request(value.path[:-1]):
            continue  # the answer to a request
        through, _ = normal((*value.path, "x"))
        if value.path[-1:] != ("()",) and not through:
            raise CannotTell(f"{name} is a part of the mock")
        planner.edit(scope).rename[name] = planner.asker(value.root.kind).name


def _drop(planner: Planner, root: Root) -> None:
    """The mock of an answer goes, since the service answers."""
    if root.parent is not None:
        return
    if only_given(planner, root):
        if "::" not in root.scope:
            planner.plan.provided.add(root.scope)
        parameters = [each.arg for each in planner.test.args.args]
        names = [name for (scope, name), bound in planner.trace.bindings.items() if bound is root]
        planner.edit(planner.scope).remove |= {name for name in names if name in parameters}
        return
    statement = root.statement
    if any(setup.place.statement is statement and setup.root.kind == "http" for setup in planner.trace.setups):
        return  # it goes with what was told to the client
    made = statement.value if isinstance(statement, ast.Assign | ast.AnnAssign) else None
    if statement is None or (made is not root.node and (root.scope != HELPER or not isinstance(made, ast.Call))):
        raise CannotTell("the mock of an answer is made in a way that is not understood")
    planner.delete(statement, planner.scope if root.scope == HELPER else root.scope)


def only_given(planner: Planner, root: Root) -> bool:
    """Whether a fixture does nothing but to make this mock, prepare it and hand it over."""
    if not root.given_by or root.given_by != root.scope:
        return False
    function = planner.functions.get(root.scope)
    if function is None:
        return True
    mine = {id(setup.place.statement) for setup in planner.trace.setups if setup.place.scope == root.scope}
    mine |= {id(part.statement) for part in planner.trace.roots if part.scope == root.scope}
    return all(
        id(each) in mine
        or isinstance(each, ast.Return | ast.Import | ast.ImportFrom | ast.FunctionDef | ast.AsyncFunctionDef)
        or (isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant | ast.Yield))
        for each in function.body
    )


def _bindings(planner: Planner, root: Root, client: Client) -> None:
    for (scope, name), bound in planner.trace.bindings.items():
        if bound is not root:
            continue
        if scope == root.scope and only_given(planner, root):
            continue
        if scope == planner.scope and root.given_by and not only_given(planner, root):
            # The fixture does more than to give the mock: the test goes on asking for it.
            planner.edit(scope).want(client.name)
            continue
        if scope not in planner.functions and scope != "<module>":
            continue
        edit = planner.edit(scope)
        edit.rename[name] = client.name
        edit.want(client.name)


def _replace_making(planner: Planner, root: Root, client: Client) -> None:
    """Where the mock was made, the real client is named."""
    if root.scope not in planner.functions:
        raise CannotTell("the mock is made where no fixture can be taken")
    statement = root.statement
    edit = planner.edit(root.scope)
    edit.want(client.name)
    if isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value is root.node:
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        if all(isinstance(target, ast.Name) for target in targets):
            planner.delete(statement, root.scope)
            return
    assert isinstance(root.node, ast.expr)
    planner.edits.exprs[planner.positions.span(root.node)] = client.name
