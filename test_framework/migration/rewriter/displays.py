"""Reading lists, dicts and comprehensions."""

from __future__ import annotations

import ast
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from test_framework.migration.rewriter.events import Frame
from test_framework.migration.rewriter.values import (
    UNKNOWN,
    Const,
    DictV,
    ListV,
    Value,
    truth,
)

if TYPE_CHECKING:
    from test_framework.migration.rewriter.machine import Machine


__all__ = ["comprehension", "sequence", "written_dict"]


def sequence(machine: Machine, node: ast.expr, frame: Frame) -> Value:
    sequence = cast("ast.List | ast.Tuple | ast.Set", node)
    items: list[Value] = []
    for each in sequence.elts:
        if isinstance(each, ast.Starred):
            inner = machine.evaluate(each.value, frame)
            if not isinstance(inner, ListV):
                return UNKNOWN
            items += inner.items
        else:
            items.append(machine.evaluate(each, frame))
    kind = {ast.List: "list", ast.Tuple: "tuple", ast.Set: "set"}[type(sequence)]
    return ListV(items, kind)


def written_dict(machine: Machine, node: ast.expr, frame: Frame) -> Value:
    written = cast("ast.Dict", node)
    items: dict[Any, Value] = {}
    for key, value in zip(written.keys, written.values, strict=True):
        found = machine.evaluate(value, frame)
        if key is None:
            if not isinstance(found, DictV):
                return UNKNOWN
            items.update(found.items)
            continue
        name = machine.evaluate(key, frame)
        if not isinstance(name, Const):
            return UNKNOWN
        items[name.value] = found
    return DictV(items)


def comprehension(machine: Machine, node: ast.expr, frame: Frame) -> Value:
    made = cast("ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp", node)
    inner = replace(frame, env=dict(frame.env))
    over = machine.evaluate(made.generators[0].iter, inner)
    if len(made.generators) > 1 or not isinstance(over, ListV) or len(over.items) > 50:
        machine.perhaps(lambda: _once(machine, made, inner))
        return UNKNOWN
    items: list[Value] = []
    pairs: dict[Any, Value] = {}
    for each in over.items:
        machine.bind(made.generators[0].target, each, inner)
        tests = [truth(machine.evaluate(test, inner)) for test in made.generators[0].ifs]
        if any(test is None for test in tests):
            return UNKNOWN
        if not all(tests):
            continue
        if isinstance(made, ast.DictComp):
            key = machine.evaluate(made.key, inner)
            if not isinstance(key, Const):
                return UNKNOWN
            pairs[key.value] = machine.evaluate(made.value, inner)
        else:
            items.append(machine.evaluate(made.elt, inner))
    return DictV(pairs) if isinstance(made, ast.DictComp) else ListV(items)


def _once(machine: Machine, made: Any, inner: Frame) -> Value:
    for generator in made.generators:
        machine.bind(generator.target, UNKNOWN, inner)
    for each in (made.key, made.value) if isinstance(made, ast.DictComp) else (made.elt,):
        machine.evaluate(each, inner)
    return UNKNOWN
