"""Reading visible functions and classes when they are called."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, cast

from test_framework.migration.rewriter.classes import ancestry, member
from test_framework.migration.rewriter.events import Finish, Frame
from test_framework.migration.rewriter.values import (
    UNKNOWN,
    ClassV,
    Const,
    DictV,
    Func,
    Instance,
    ListV,
    Value,
    Yielded,
)

if TYPE_CHECKING:
    from test_framework.migration.rewriter.machine import Machine


__all__ = ["Arguments", "call_function", "instantiate"]


class Arguments:
    """What a call passes. ``complete`` is false when a star hides some of it."""

    def __init__(self) -> None:
        self.args: list[Value] = []
        self.kwargs: dict[str, Value] = {}
        self.complete = True


def call_function(
    machine: Machine, function: Func, args: list[Value], kwargs: dict[str, Value], given: Arguments | None
) -> Value:
    """Read the body of a visible function with these arguments."""
    node = function.node
    machine.visited.append(node)
    env = dict(function.closure) if function.closure is not None else {}
    frame = Frame(function.module, env, "code")
    bind_parameters(machine, function, args, kwargs, frame, complete=given is None or given.complete)
    with machine.deeper():
        if isinstance(node, ast.Lambda):
            return machine.evaluate(node.body, frame)
        try:
            machine.run_block(node.body, frame)
        except Finish as end:
            return Yielded(end.value) if _is_generator(node) else end.value
        return Const(None)


def _is_generator(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether the function's own body yields."""
    waiting: list[ast.AST] = list(node.body)
    while waiting:
        each = waiting.pop()
        if isinstance(each, ast.Yield | ast.YieldFrom):
            return True
        if not isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            waiting += ast.iter_child_nodes(each)
    return False


def bind_parameters(
    machine: Machine, function: Func, args: list[Value], kwargs: dict[str, Value], frame: Frame, *, complete: bool
) -> None:
    """Give the function's parameters their values."""
    spec = function.node.args
    positional = [*spec.posonlyargs, *spec.args]
    names = [each.arg for each in positional]
    outer = Frame(function.module, function.closure or {}, "module")
    defaults = dict(zip(names[len(names) - len(spec.defaults) :], spec.defaults, strict=True))
    defaults.update({each.arg: value for each, value in zip(spec.kwonlyargs, spec.kw_defaults, strict=True) if value})
    values: dict[str, Value] = dict(zip(names, args, strict=False))
    values.update(
        {name: value for name, value in kwargs.items() if name in names or name in {k.arg for k in spec.kwonlyargs}}
    )
    for name in [*names, *(each.arg for each in spec.kwonlyargs)]:
        if name not in values:
            values[name] = machine.evaluate(defaults[name], outer) if name in defaults and complete else UNKNOWN
    if spec.vararg:
        values[spec.vararg.arg] = ListV(args[len(names) :], "tuple") if complete else UNKNOWN
    if spec.kwarg:
        values[spec.kwarg.arg] = (
            DictV({name: value for name, value in kwargs.items() if name not in values}) if complete else UNKNOWN
        )
    frame.env.update(values)


def instantiate(machine: Machine, cls: ClassV, given: Arguments) -> Value:
    """An object of a visible class."""
    made = Instance(cls)
    found = member(machine, cls, "__init__")
    if found is not None:
        init = Func(found[0].module, cast("ast.FunctionDef", found[1]))
        call_function(machine, init, [made, *given.args], given.kwargs, given)
        return made
    fields = [
        statement.target.id
        for each in reversed(ancestry(machine, cls))
        for statement in each.node.body
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)
    ]
    made.attributes.update(dict(zip(fields, given.args, strict=False)))
    made.attributes.update(given.kwargs)
    return made
