"""Giving values to names, attributes and elements; telling a mock what it shall answer."""

from __future__ import annotations

import ast
from dataclasses import replace
from typing import TYPE_CHECKING

from test_framework.migration.rewriter.events import Frame, Setup
from test_framework.migration.rewriter.values import (
    UNKNOWN,
    ArgRef,
    Const,
    CountRef,
    DictV,
    Instance,
    ListV,
    ModuleV,
    Root,
    StandIn,
    Sym,
    Value,
)

if TYPE_CHECKING:
    from test_framework.migration.rewriter.machine import Machine

__all__ = ["HELPER", "absorb", "bind", "holds_mock"]

HELPER = "<helper>"
"""Where a mock is made that a function of the test file gives."""


def holds_mock(value: Value, depth: int = 0) -> StandIn | None:
    """The first mock in a value."""
    if isinstance(value, StandIn):
        return value
    if depth > 3:
        return None
    inside: list[Value] = []
    if isinstance(value, ListV):
        inside = value.items
    elif isinstance(value, DictV):
        inside = list(value.items.values())
    elif isinstance(value, Instance):
        inside = list(value.attributes.values())
    return next((found for each in inside if (found := holds_mock(each, depth + 1))), None)


def bind(machine: Machine, target: ast.expr, value: Value, frame: Frame) -> None:
    """``target = value``."""
    if isinstance(target, ast.Name):
        frame.locals.add(target.id)
        if frame.kind in ("test", "fixture", "setup"):
            holds = value.root if isinstance(value, StandIn) else None
            machine.trace.bound.setdefault((frame.scope, target.id), []).append(holds)
        frame.env[target.id] = _named(machine, target.id, value, frame)
    elif isinstance(target, ast.Tuple | ast.List):
        _unpack(machine, target.elts, value, frame)
    elif isinstance(target, ast.Starred):
        bind(machine, target.value, UNKNOWN, frame)
    elif isinstance(target, ast.Attribute):
        _set_attribute(machine, target, value, frame)
    elif isinstance(target, ast.Subscript):
        _set_element(machine, target, value, frame)


def _named(machine: Machine, name: str, value: Value, frame: Frame) -> Value:
    if isinstance(value, StandIn) and frame.kind == "code":
        return value
    if isinstance(value, StandIn):
        if value.path:
            machine.trace.aliases[frame.scope, name] = value
            _leftover(machine, frame)
        else:
            machine.trace.bindings[frame.scope, name] = value.root
        if not value.path and name not in value.root.names:
            value.root.names.append(name)
        return value
    if isinstance(value, ArgRef | CountRef):
        _leftover(machine, frame)
        return value
    if frame.kind != "test":
        if isinstance(value, Sym) and not value.pure and frame.kind != "test":
            return Sym("", pure=False, pytype=value.pytype, pattern=value.pattern)
        return value
    if isinstance(value, Sym):
        return Sym(name, pytype=value.pytype, src=name)
    if isinstance(value, Const | DictV | ListV):
        return replace(value, src=name)
    return Sym(name, src=name) if value is UNKNOWN else value


def _leftover(machine: Machine, frame: Frame) -> None:
    if frame.place is not None and frame.place not in machine.trace.leftovers:
        machine.trace.leftovers.append(frame.place)


def _unpack(machine: Machine, targets: list[ast.expr], value: Value, frame: Frame) -> None:
    if isinstance(value, ArgRef) and value.part == "call" and len(targets) == 2:
        values: list[Value] = [replace(value, part="args"), replace(value, part="kwargs")]
    elif isinstance(value, ArgRef) and value.part == "args":
        values = [replace(value, which=number, part="one") for number, _ in enumerate(targets)]
    elif isinstance(value, ListV) and len(value.items) == len(targets):
        values = list(value.items)
    else:
        values = [UNKNOWN] * len(targets)
    for target, each in zip(targets, values, strict=True):
        bind(machine, target, each, frame)


def _set_attribute(machine: Machine, target: ast.Attribute, value: Value, frame: Frame) -> None:
    owner = machine.evaluate(target.value, frame)
    if isinstance(owner, StandIn):
        _tell(machine, owner, target.attr, value, frame)
    elif isinstance(owner, Instance):
        owner.attributes[target.attr] = value
        if isinstance(value, StandIn) and frame.kind in ("setup", "fixture", "test") and not value.path:
            value.root.names.append(target.attr)
    elif isinstance(owner, ModuleV):
        machine.overrides[owner.name, target.attr] = value
        if holds_mock(value):
            machine.problem(f"{owner.name}.{target.attr} is assigned a mock")
    elif holds_mock(value):
        machine.problem(f"a mock is stored in {ast.unparse(target)}, whose source is not in sight")


def _tell(machine: Machine, owner: StandIn, name: str, value: Value, frame: Frame) -> None:
    root = owner.root
    what, path = name, (*owner.path, name)
    if name == "return_value":
        what, path = "return", (*owner.path, "()")
        tell_result(machine, root, path, value)
    elif name == "side_effect":
        what, path = "effect", owner.path
        root.effects[path] = value
    else:
        what = "attribute"
        tell_result(machine, root, path, value)
    if root.scope == HELPER and frame.kind == "code":
        return  # as if it were made like that
    if frame.place is None or frame.kind not in ("test", "fixture", "setup"):
        machine.problem("a mock is told what to answer outside of the test")
        return
    setup = Setup(root, path, what, value, frame.place)
    machine.trace.setups.append(setup)
    machine.trace.order.append(setup)


def tell_result(machine: Machine, root: Root, path: tuple[str, ...], value: Value) -> None:
    """``path`` of the mock is ``value`` from now on. A nameless mock becomes a part of this one."""
    if isinstance(value, StandIn) and not value.path and not value.root.names and value.root is not root:
        absorb(machine, root, path, value.root)
    else:
        root.results[path] = value


def absorb(machine: Machine, root: Root, path: tuple[str, ...], part: Root) -> None:
    """``part`` was made only to be a part of ``root``."""
    for inner, value in part.results.items():
        root.results[(*path, *inner)] = value
    for inner, value in part.effects.items():
        root.effects[(*path, *inner)] = value
    part.parent = root
    part.parent_path = path
    if part in machine.trace.roots:
        machine.trace.roots.remove(part)


def _set_element(machine: Machine, target: ast.Subscript, value: Value, frame: Frame) -> None:
    owner, index = machine.evaluate(target.value, frame), machine.evaluate(target.slice, frame)
    if isinstance(owner, DictV) and isinstance(index, Const):
        owner.items[index.value] = value
    elif isinstance(owner, ListV) and isinstance(index, Const) and isinstance(index.value, int):
        if -len(owner.items) <= index.value < len(owner.items):
            owner.items[index.value] = value
    elif holds_mock(value):
        machine.problem(f"a mock is stored in {ast.unparse(target)}, whose source is not in sight")
