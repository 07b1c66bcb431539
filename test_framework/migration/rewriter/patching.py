"""Patches of our services: the real client is put where the mock was put."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import TYPE_CHECKING

from test_framework.migration.rewriter.events import CannotTell, Patch
from test_framework.migration.rewriter.values import Root

if TYPE_CHECKING:
    from test_framework.migration.rewriter.plan import Planner

__all__ = ["replace_patches"]


def replacement(planner: Planner, root: Root) -> str:
    """What is put where a patch put the mock."""
    client = planner.clients[id(root)]
    calls = [op for op in planner.trace.ops if op.root is root and op.path == ()]
    gives = any(
        path[:1] == ("()",)
        for path in [
            *root.results,
            *(op.path for op in planner.trace.ops if op.root is root),
            *(s.path for s in planner.trace.setups if s.root is root),
        ]
    )
    if not calls and not gives:
        return client.name
    entered = {("()", "__aenter__"), ("()", "__enter__")}
    paths = [*root.results, *(op.path for op in planner.trace.ops if op.root is root)]
    if any(path[:2] in entered for path in paths):
        return f"lambda *args, **kwargs: contextlib.nullcontext({client.name})"
    if any(op.awaited for op in calls) or root.awaitable:
        return f"async:{client.name}"
    return f"lambda *args, **kwargs: {client.name}"


def replace_patches(planner: Planner) -> None:
    for patch in planner.trace.patches:
        root = patch.root
        if root is None or root.kind is None:
            continue
        if "asyncpg." in patch.target or patch.target.startswith(("redis.", "clickhouse_connect.")):
            raise CannotTell(
                f"{patch.target} is the driver itself: hand the client in, or give the code the test's address"
            )
        _PATCHES[patch.how](planner, patch, root) if patch.how in _PATCHES else _no_patch(patch)
        planner.plan.rewritten += 1


def _no_patch(patch: Patch) -> None:
    raise CannotTell(f"a patch of {patch.target} is started by hand or for a whole class")


def _setattr(planner: Planner, holder: str, patch: Patch, root: Root, scope: str) -> list[str]:
    text = replacement(planner, root)
    edit = planner.edit(scope)
    if root.kind != "websocket":
        edit.want(planner.clients[id(root)].name)
    if text.startswith("async:"):
        name = f"get_{text[6:]}"
        return [
            f"async def {name}(*args, **kwargs):\n    return {text[6:]}\n",
            f"{holder}.setattr({patch.target_text}, {name})",
        ]
    return [f"{holder}.setattr({patch.target_text}, {text})"]


def patch_decorator(planner: Planner, patch: Patch, root: Root) -> None:
    edit = planner.edit(planner.scope)
    assert isinstance(patch.whole, ast.expr)
    edit.decorators_off.add(planner.positions.of(patch.whole))
    edit.want("monkeypatch")
    if patch.parameter and not patch.has_new:
        edit.remove.add(patch.parameter)
        if not _is_giver(planner, root):
            edit.rename[patch.parameter] = planner.clients[id(root)].name
    edit.first += [
        line for line in _setattr(planner, "monkeypatch", patch, root, planner.scope) if line not in edit.first
    ]


def _is_giver(planner: Planner, root: Root) -> bool:
    return replacement(planner, root) != planner.clients[id(root)].name


def patch_with(planner: Planner, patch: Patch, root: Root) -> None:
    assert isinstance(patch.whole, ast.withitem) and patch.place is not None
    if patch.scope not in planner.functions:
        raise CannotTell("a fixture of a conftest.py patches: change it there first")
    block = patch.place.statement
    if not isinstance(block, ast.With | ast.AsyncWith) or isinstance(block, ast.AsyncWith):
        raise CannotTell("a patch is entered in a way that is not understood")
    edit = planner.edit(patch.scope)
    edit.want("monkeypatch")
    number = sum(1 for span in planner.edits.with_items) + 1
    holder = "patched" if number == 1 else f"patched_{number}"
    planner.edits.with_items[planner.positions.span(patch.whole.context_expr)] = holder
    if patch.parameter and not patch.has_new:
        edit.rename[patch.parameter] = planner.clients[id(root)].name
    key = planner.positions.of(block.body[0])
    planner.edits.before[key] = [
        *_setattr(planner, holder, patch, root, patch.scope),
        *planner.edits.before.get(key, []),
    ]


def patch_mocker(planner: Planner, patch: Patch, root: Root) -> None:
    statement = patch.place.statement if patch.place else None
    if statement is None or patch.scope not in planner.functions:
        raise CannotTell("mocker.patch is used in a way that is not understood")
    value = statement.value if isinstance(statement, ast.Assign | ast.Expr) else None
    if value is not patch.node:
        raise CannotTell("mocker.patch is a part of a larger statement")
    edit = planner.edit(patch.scope)
    edit.want("monkeypatch")
    for target in statement.targets if isinstance(statement, ast.Assign) else ():
        if not isinstance(target, ast.Name):
            raise CannotTell("mocker.patch is assigned to an attribute")
        edit.rename[target.id] = planner.clients[id(root)].name
    planner.edits.replace[planner.positions.of(statement)] = _setattr(planner, "monkeypatch", patch, root, patch.scope)


_PATCHES: dict[str, Callable[[Planner, Patch, Root], None]] = {
    "decorator": patch_decorator,
    "with": patch_with,
    "mocker": patch_mocker,
}
