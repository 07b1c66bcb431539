"""Reading expressions: what each one would be while the test runs with its mocks."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, cast

from test_framework.migration.rewriter import folding
from test_framework.migration.rewriter.classes import attribute_of_class, attribute_of_instance
from test_framework.migration.rewriter.displays import comprehension, sequence, written_dict
from test_framework.migration.rewriter.events import Finish, Frame
from test_framework.migration.rewriter.mocks import ASSERTIONS, CALLS, COUNTS
from test_framework.migration.rewriter.modules import Module
from test_framework.migration.rewriter.values import (
    UNKNOWN,
    ArgRef,
    BoundMethod,
    ClassV,
    Const,
    CountRef,
    DictV,
    Func,
    Instance,
    ListV,
    ModuleV,
    StandIn,
    Sym,
    Unknown,
    Value,
    emit,
    truth,
)

if TYPE_CHECKING:
    from test_framework.migration.rewriter.machine import Machine

__all__ = ["evaluate"]

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def evaluate(machine: Machine, node: ast.expr, frame: Frame) -> Value:
    """The value of one expression. Raises CannotTell when reading goes too far."""
    machine.step()
    reader = _READERS.get(type(node))
    value = reader(machine, node, frame) if reader else _children(machine, node, frame)
    if isinstance(value, ArgRef | CountRef):
        machine.refs.append((node, value))
    return value


def _children(machine: Machine, node: ast.expr, frame: Frame) -> Value:
    """An expression that is not understood: what is inside may still reach a service."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.expr):
            evaluate(machine, child, frame)
    return UNKNOWN


def _constant(machine: Machine, node: ast.expr, frame: Frame) -> Value:
    return Const(cast("ast.Constant", node).value)


def _name(machine: Machine, node: ast.expr, frame: Frame) -> Value:
    name = cast("ast.Name", node).id
    if name in frame.env:
        return frame.env[name]
    return machine.lookup(cast("Module", frame.module), name)


def _attribute(machine: Machine, node: ast.expr, frame: Frame) -> Value:
    attribute = cast("ast.Attribute", node)
    return attribute_of(machine, evaluate(machine, attribute.value, frame), attribute.attr, frame)


def attribute_of(machine: Machine, owner: Value, name: str, frame: Frame) -> Value:
    """``owner.name``."""
    if isinstance(owner, StandIn):
        return _attribute_of_mock(machine, owner, name)
    if isinstance(owner, ArgRef):
        return replace(owner, part="kwargs" if name == "kwargs" else "args" if name == "args" else "?")
    if isinstance(owner, Instance):
        return attribute_of_instance(machine, owner, name)
    if isinstance(owner, ClassV):
        return attribute_of_class(machine, owner, name)
    if isinstance(owner, ModuleV):
        return machine.attribute_of_module(owner, name)
    if isinstance(owner, Sym):
        text = emit(owner)
        return Sym(f"{text}.{name}") if text else BoundMethod(owner, name)
    if isinstance(owner, Const) and name == "value":
        return owner  # of an enumeration's member
    if isinstance(owner, Const | DictV | ListV):
        return BoundMethod(owner, name)
    return UNKNOWN


def _attribute_of_mock(machine: Machine, owner: StandIn, name: str) -> Value:
    root, path = owner.root, owner.path
    if name == "return_value":
        return root.results.get((*path, "()")) or owner.to("()")
    if name in ASSERTIONS or name in ("reset_mock", "configure_mock", "assert_called_once_with"):
        return BoundMethod(owner, name)
    if name in COUNTS:
        return CountRef(root, path, name)
    if name in CALLS:
        return ArgRef(root, path, part="list" if name.endswith(("list", "calls")) else "call")
    if name in ("method_calls", "side_effect", "_mock_children", "mock_add_spec", "attach_mock"):
        machine.problem(f"{name} of a mock is used")
        return UNKNOWN
    return root.results.get((*path, name)) or owner.to(name)


def _subscript(machine: Machine, node: ast.expr, frame: Frame) -> Value:
    subscript = cast("ast.Subscript", node)
    owner = evaluate(machine, subscript.value, frame)
    if isinstance(subscript.slice, ast.Slice):
        return _slice(machine, owner, subscript.slice, frame)
    index = evaluate(machine, subscript.slice, frame)
    if isinstance(owner, ArgRef):
        return _part_of_call(owner, index)
    if isinstance(owner, StandIn):
        return owner.root.results.get((*owner.path, "__getitem__", "()")) or owner.to("__getitem__", "()")
    if isinstance(owner, Unknown | Instance | Func | ClassV | ModuleV):
        return UNKNOWN
    return folding.subscript(owner, index)


def _slice(machine: Machine, owner: Value, part: ast.Slice, frame: Frame) -> Value:
    bounds = [evaluate(machine, each, frame) if each else Const(None) for each in (part.lower, part.upper, part.step)]
    if isinstance(owner, Const | ListV) and all(isinstance(each, Const) for each in bounds):
        where = slice(*(cast("Const", each).value for each in bounds))
        try:
            return ListV(owner.items[where], owner.kind) if isinstance(owner, ListV) else Const(owner.value[where])
        except (TypeError, ValueError):
            return UNKNOWN
    return UNKNOWN


def _part_of_call(owner: ArgRef, index: Value) -> Value:
    which = index.value if isinstance(index, Const) else None
    if owner.part == "list" and isinstance(which, int):
        return replace(owner, part="call", index=which)
    if owner.part == "call" and which in (0, 1):
        return replace(owner, part="kwargs" if which else "args")
    if owner.part in ("args", "kwargs") and isinstance(which, int | str):
        return replace(owner, which=which, part="one")
    return replace(owner, part="?")


def _call(machine: Machine, node: ast.expr, frame: Frame) -> Value:
    return machine.call(cast("ast.Call", node), frame)


def _await(machine: Machine, node: ast.expr, frame: Frame) -> Value:
    inner = cast("ast.Await", node).value
    try:
        return evaluate(machine, inner, frame)
    finally:
        machine.awaited(inner)


def _joined(machine: Machine, node: ast.expr, frame: Frame) -> Value:
    parts: list[tuple[Value, str, str]] = []
    for each in cast("ast.JoinedStr", node).values:
        if isinstance(each, ast.FormattedValue):
            value = evaluate(machine, each.value, frame)
            spec = evaluate(machine, each.format_spec, frame) if each.format_spec else Const("")
            if not isinstance(spec, Const):
                return UNKNOWN
            parts.append((value, chr(each.conversion) if each.conversion > 0 else "", spec.value))
        else:
            parts.append((evaluate(machine, each, frame), "", ""))
    return folding.format_string(parts)


def _binary(machine: Machine, node: ast.expr, frame: Frame) -> Value:
    operation = cast("ast.BinOp", node)
    left, right = evaluate(machine, operation.left, frame), evaluate(machine, operation.right, frame)
    return folding.binary(operation.op, left, right)


def _boolean(machine: Machine, node: ast.expr, frame: Frame) -> Value:
    operation = cast("ast.BoolOp", node)
    stops = isinstance(operation.op, ast.Or)
    value: Value = UNKNOWN
    certain = True
    for each in operation.values:
        value = evaluate(machine, each, frame) if certain else machine.perhaps(partial(evaluate, machine, each, frame))
        known = truth(value)
        if known is None:
            certain = False
        elif certain and known is stops:
            return value
    return value if certain else UNKNOWN


def _unary(machine: Machine, node: ast.expr, frame: Frame) -> Value:
    operation = cast("ast.UnaryOp", node)
    value = evaluate(machine, operation.operand, frame)
    if isinstance(operation.op, ast.Not):
        known = truth(value)
        return UNKNOWN if known is None else Const(not known)
    if isinstance(operation.op, ast.USub) and isinstance(value, Const):
        return folding.computed(lambda each: -each, [value], {}) or UNKNOWN
    return UNKNOWN


def _compare(machine: Machine, node: ast.expr, frame: Frame) -> Value:
    comparison = cast("ast.Compare", node)
    values = [evaluate(machine, each, frame) for each in (comparison.left, *comparison.comparators)]
    if frame.kind == "test":
        machine.compared(comparison, values)
    results = [
        folding.compare(op, left, right) for op, left, right in zip(comparison.ops, values, values[1:], strict=False)
    ]
    known = [truth(each) for each in results]
    if any(each is False for each in known):
        return Const(False)  # noqa: FBT003 - the constant itself
    return Const(True) if all(known) else UNKNOWN  # noqa: FBT003 - the constant itself


def _conditional(machine: Machine, node: ast.expr, frame: Frame) -> Value:
    choice = cast("ast.IfExp", node)
    known = truth(evaluate(machine, choice.test, frame))
    if known is not None:
        return evaluate(machine, choice.body if known else choice.orelse, frame)
    machine.perhaps(lambda: evaluate(machine, choice.body, frame))
    machine.perhaps(lambda: evaluate(machine, choice.orelse, frame))
    return UNKNOWN


def _lambda(machine: Machine, node: ast.expr, frame: Frame) -> Value:
    return Func(cast("Module", frame.module), cast("ast.Lambda", node), frame.env)


def _yield(machine: Machine, node: ast.expr, frame: Frame) -> Value:
    """A fixture or context manager gives its value here; what follows is clean-up."""
    inner = cast("ast.Yield", node).value
    raise Finish(evaluate(machine, inner, frame) if inner else Const(None))


def _named_expression(machine: Machine, node: ast.expr, frame: Frame) -> Value:
    walrus = cast("ast.NamedExpr", node)
    value = evaluate(machine, walrus.value, frame)
    machine.bind(walrus.target, value, frame)
    return value


_READERS: dict[type[ast.expr], Callable[[Machine, ast.expr, Frame], Value]] = {
    ast.Constant: _constant,
    ast.Name: _name,
    ast.Attribute: _attribute,
    ast.Subscript: _subscript,
    ast.Call: _call,
    ast.Await: _await,
    ast.JoinedStr: _joined,
    ast.BinOp: _binary,
    ast.BoolOp: _boolean,
    ast.UnaryOp: _unary,
    ast.Compare: _compare,
    ast.IfExp: _conditional,
    ast.List: sequence,
    ast.Tuple: sequence,
    ast.Set: sequence,
    ast.Dict: written_dict,
    ast.Lambda: _lambda,
    ast.ListComp: comprehension,
    ast.SetComp: comprehension,
    ast.GeneratorExp: comprehension,
    ast.DictComp: comprehension,
    ast.Yield: _yield,
    ast.NamedExpr: _named_expression,
}
