"""Mocks as they are made: by a class of the library, by ``patch``, by pytest-mock and by ``monkeypatch``."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, cast

from test_framework.migration.rewriter.events import Frame, Patch
from test_framework.migration.rewriter.mocks import is_mock_class, is_patch, origin_of
from test_framework.migration.rewriter.modules import Module
from test_framework.migration.rewriter.naming import HELPER, holds_mock, tell_result
from test_framework.migration.rewriter.values import (
    UNKNOWN,
    BoundMethod,
    ClassV,
    Const,
    DictV,
    Instance,
    ModuleV,
    Root,
    StandIn,
    Value,
    repr_of,
)

if TYPE_CHECKING:
    from test_framework.migration.rewriter.machine import Machine

__all__ = ["make_mock", "make_patch", "monkeypatch_call"]

_OPTIONS = frozenset({"name", "unsafe", "spec_set", "autospec", "create", "new_callable", "wraps", "instance"})


def make_mock(machine: Machine, node: ast.Call, frame: Frame) -> StandIn:
    """``AsyncMock(…)`` and its relatives."""
    module = cast("Module", frame.module)
    scope = HELPER if frame.kind == "code" else frame.scope
    root = Root(node, scope, "call", statement=machine.own_place.statement if machine.own_place else None)
    root.maker = is_mock_class(node.func, module.imports)
    machine.trace.roots.append(root)
    if node.args:
        root.spec = origin_of(node.args[0], module.imports)
    configure(machine, root, node, frame)
    return StandIn(root)


def configure(machine: Machine, root: Root, node: ast.Call, frame: Frame) -> None:
    """What keyword arguments tell a mock."""
    module = cast("Module", frame.module)
    for keyword in node.keywords:
        if keyword.arg in ("spec", "spec_set", "autospec"):
            root.spec = origin_of(keyword.value, module.imports) or root.spec
            continue
        if keyword.arg == "wraps":
            machine.problem("a mock wraps something real")
        if keyword.arg == "new_callable":
            root.awaitable = "AsyncMock" in ast.unparse(keyword.value)
        if keyword.arg == "name" and isinstance(keyword.value, ast.Constant):
            root.target = root.target or str(keyword.value.value)
        if keyword.arg in _OPTIONS:
            continue
        value = machine.evaluate(keyword.value, frame)
        if keyword.arg is None:
            _configure_paths(machine, root, value)
        elif keyword.arg == "return_value":
            tell_result(machine, root, ("()",), value)
        elif keyword.arg == "side_effect":
            root.effects[()] = value
        else:
            tell_result(machine, root, (keyword.arg,), value)


def _configure_paths(machine: Machine, root: Root, value: Value) -> None:
    """``AsyncMock(**{"get.return_value": 1})``."""
    if not isinstance(value, DictV):
        machine.problem("a mock is configured by a mapping that is not in sight")
        return
    for name, each in value.items.items():
        steps = ["()" if step == "return_value" else step for step in str(name).split(".")]
        if steps[-1] == "side_effect":
            root.effects[tuple(steps[:-1])] = each
        else:
            tell_result(machine, root, tuple(steps), each)


def make_patch(
    machine: Machine, node: ast.Call, frame: Frame, *, how: str, name: str | None = None, whole: ast.AST | None = None
) -> Value:
    """One ``patch``; the value is what it puts in place."""
    module = cast("Module", frame.module)
    kind = is_patch(node.func, module.imports) or _mocker_kind(node.func)
    if kind in ("patch.dict", "patch.multiple", "patch.stopall"):
        return UNKNOWN
    args = list(node.args)
    if kind == "patch.object" and len(args) >= 2:
        owner, attribute = machine.evaluate(args[0], frame), machine.evaluate(args[1], frame)
        text = f"{_said(args[0])}, {_said(args[1])}"
        target = f"{_name_of(owner) or ast.unparse(args[0])}.{attribute.value if isinstance(attribute, Const) else ''}"
        new = args[2] if len(args) > 2 else None
    elif args:
        given = machine.evaluate(args[0], frame)
        target, text = str(given.value) if isinstance(given, Const) else "", _said(args[0])
        owner = UNKNOWN
        new = args[1] if len(args) > 1 else None
    else:
        return UNKNOWN
    new = next((each.value for each in node.keywords if each.arg == "new"), new)
    value: Value
    if new is not None:
        value = machine.evaluate(new, frame)
    else:
        root = Root(
            node, frame.scope, how, target=target, statement=machine.own_place.statement if machine.own_place else None
        )
        machine.trace.roots.append(root)
        configure(machine, root, node, frame)
        value = StandIn(root)
    inner = holds_mock(value)
    if inner is not None:
        inner.root.target = inner.root.target or target
    patch = Patch(inner.root if inner else None, how, node, target, text, frame.scope, name, machine.own_place, whole)
    patch.has_new = new is not None
    machine.trace.patches.append(patch)
    put(machine, owner, target, value)
    return value


def _said(node: ast.expr) -> str:
    return repr_of(node.value) if isinstance(node, ast.Constant) else ast.unparse(node)


def _mocker_kind(node: ast.expr) -> str:
    parts = ast.unparse(node).split(".")
    return ".".join(parts[1:]) if len(parts) > 1 else ""


def _name_of(owner: Value) -> str:
    if isinstance(owner, ModuleV):
        return owner.name
    if isinstance(owner, ClassV):
        return f"{owner.module.name}.{owner.node.name}"
    return ""


def put(machine: Machine, owner: Value, target: str, value: Value) -> None:
    """From now on ``target`` is ``value``, for the code that is read."""
    parent, _, name = target.rpartition(".")
    if isinstance(owner, Instance):
        owner.attributes[name] = value
        return
    where = machine.resolve(parent) if parent else UNKNOWN
    parts = parent.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        if (
            not isinstance(where, ModuleV)
            or where.module is not None
            or machine.library.find(".".join(parts[:cut])) is None
        ):
            break
        where = machine.resolve(".".join(parts[:cut]))
        for step in parts[cut:]:
            where = machine.attribute(where, step, Frame(machine.module, {}, "module"))
        break
    key = _name_of(where) or parent
    if isinstance(where, Instance):
        where.attributes[name] = value
    machine.overrides[key, name] = value


def monkeypatch_call(machine: Machine, function: BoundMethod, node: ast.Call, frame: Frame) -> Value:
    """``mocker.…`` and ``monkeypatch.…``."""
    fixture = cast("ModuleV", function.owner).name
    if fixture == "mocker":
        text = ast.unparse(node.func)
        if is_mock_class(node.func, {}):
            return make_mock(machine, node, frame)
        if text in ("mocker.patch", "mocker.patch.object"):
            return make_patch(machine, node, frame, how="mocker", whole=node)
        if text.startswith(("mocker.spy", "mocker.stub")):
            for each in node.args:
                machine.evaluate(each, frame)
        return UNKNOWN
    if function.name != "setattr":
        for each in [*node.args, *(keyword.value for keyword in node.keywords)]:
            machine.evaluate(each, frame)
        return Const(None)
    args = list(node.args)
    if len(args) >= 3:
        owner, name, value = (machine.evaluate(each, frame) for each in args[:3])
        target = f"{_name_of(owner)}.{name.value if isinstance(name, Const) else ''}"
    elif len(args) == 2:
        owner, given, value = UNKNOWN, machine.evaluate(args[0], frame), machine.evaluate(args[1], frame)
        target = str(given.value) if isinstance(given, Const) else ""
    else:
        return Const(None)
    put(machine, owner, target, value)
    return Const(None)
