"""Reading visible classes: bases, members, attributes of classes and of their objects."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

from test_framework.migration.rewriter.events import Frame
from test_framework.migration.rewriter.values import UNKNOWN, BoundMethod, ClassV, Func, Instance, Value

if TYPE_CHECKING:
    from test_framework.migration.rewriter.machine import Machine

__all__ = ["ancestry", "attribute_of_class", "attribute_of_instance", "member"]


def ancestry(machine: Machine, cls: ClassV) -> list[ClassV]:
    """The class and its visible bases, nearest first."""
    found = [cls]
    for base in cls.node.bases:
        value = machine.evaluate(base, Frame(cls.module, {}, "module"))
        if isinstance(value, ClassV) and value.node is not cls.node:
            found += [each for each in ancestry(machine, value) if each.node not in [f.node for f in found]]
    return found


def member(machine: Machine, cls: ClassV, name: str) -> tuple[ClassV, ast.stmt] | None:
    for each in ancestry(machine, cls):
        for statement in each.node.body:
            if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and statement.name == name:
                return each, statement
            targets = (
                statement.targets
                if isinstance(statement, ast.Assign)
                else [statement.target]
                if isinstance(statement, ast.AnnAssign) and statement.value
                else []
            )
            if any(isinstance(target, ast.Name) and target.id == name for target in targets):
                return each, statement
    return None


def attribute_of_class(machine: Machine, cls: ClassV, name: str) -> Value:
    key = (f"{cls.module.name}.{cls.node.name}", name)
    if key in machine.overrides:
        return machine.overrides[key]
    found = member(machine, cls, name)
    if found is None:
        return UNKNOWN
    owner, statement = found
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
        made = Func(owner.module, statement)
        return BoundMethod(cls, name) if _decorated(statement, "classmethod") else made
    if isinstance(statement, ast.ClassDef):
        return ClassV(owner.module, statement)
    if (id(statement), name) not in machine.class_values:
        value = statement.value if isinstance(statement, ast.Assign | ast.AnnAssign) else None
        frame = Frame(owner.module, {}, "module", scope="<class>")
        machine.class_values[id(statement), name] = machine.evaluate(value, frame) if value else UNKNOWN
    return machine.class_values[id(statement), name]


def attribute_of_instance(machine: Machine, owner: Instance, name: str) -> Value:
    if name in owner.attributes:
        return owner.attributes[name]
    found = member(machine, owner.cls, name)
    if found is not None and isinstance(found[1], ast.FunctionDef | ast.AsyncFunctionDef):
        key = (f"{owner.cls.module.name}.{owner.cls.node.name}", name)
        if key in machine.overrides:
            return machine.overrides[key]
        if _decorated(found[1], "property", "cached_property"):
            return machine.call_function(Func(found[0].module, found[1]), [owner])
        return BoundMethod(owner, name)
    return attribute_of_class(machine, owner.cls, name)


def _decorated(node: Any, *names: str) -> bool:
    return any(
        (isinstance(each, ast.Name) and each.id in names) or (isinstance(each, ast.Attribute) and each.attr in names)
        for each in node.decorator_list
    )
