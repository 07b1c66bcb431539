"""Reading calls: of mocks, of visible code, of the mock library and of everything else."""

from __future__ import annotations

import ast
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from test_framework.migration.rewriter import pure
from test_framework.migration.rewriter.classes import member
from test_framework.migration.rewriter.events import Frame, Op, Place, Raised
from test_framework.migration.rewriter.functions import Arguments, call_function, instantiate
from test_framework.migration.rewriter.http_requests import answer_class
from test_framework.migration.rewriter.making import make_mock, make_patch, monkeypatch_call
from test_framework.migration.rewriter.mocks import is_mock_class, is_patch
from test_framework.migration.rewriter.modules import Module
from test_framework.migration.rewriter.naming import holds_mock
from test_framework.migration.rewriter.values import (
    UNKNOWN,
    BoundMethod,
    ClassV,
    Const,
    DictV,
    Func,
    Instance,
    ListV,
    ModuleV,
    StandIn,
    Sym,
    Value,
    Yielded,
)

if TYPE_CHECKING:
    from test_framework.migration.rewriter.machine import Machine

__all__ = ["call", "call_function", "entered"]

_HARMLESS = frozenset(
    [
        "print",
        "isinstance",
        "hasattr",
        "callable",
        "id",
        "type",
        "repr",
        "str",
        "len",
        "bool",
        "getattr",
        "dict",
        "list",
        "tuple",
        "set",
        "iter",
        "zip",
        "enumerate",
        "functools.partial",
        "asyncio.sleep",
        "json.dumps",
    ]
)
_EXCEPTIONS = ("Error", "Exception", "Timeout", "WebSocketDisconnect", "ConnectionClosed", "ConnectionClosedOK")
_RUNNERS = ("asyncio.run", "anyio.run")
_GATHERERS = ("asyncio.gather", "asyncio.wait_for", "asyncio.create_task", "asyncio.shield")
_TEXTS = ("isoformat", "strftime", "hex")
_OWN = ("test", "fixture", "setup")


def arguments_of(machine: Machine, node: ast.Call, frame: Frame) -> Arguments:
    found = Arguments()
    for each in node.args:
        if isinstance(each, ast.Starred):
            inner = machine.evaluate(each.value, frame)
            if isinstance(inner, ListV):
                found.args += inner.items
            else:
                found.complete = False
        else:
            found.args.append(machine.evaluate(each, frame))
    for keyword in node.keywords:
        value = machine.evaluate(keyword.value, frame)
        if keyword.arg is not None:
            found.kwargs[keyword.arg] = value
        elif isinstance(value, DictV):
            found.kwargs.update({str(name): each for name, each in value.items.items()})
        else:
            found.complete = False
    return found


def call(machine: Machine, node: ast.Call, frame: Frame) -> Value:
    """The value of a call."""
    module = cast("Module", frame.module)
    if module in machine.own_modules:
        if is_mock_class(node.func, module.imports):
            return make_mock(machine, node, frame)
        if frame.kind != "code" and is_patch(node.func, module.imports):
            return make_patch(machine, node, frame, how="call")
    function = machine.evaluate(node.func, frame)
    if isinstance(function, BoundMethod) and isinstance(function.owner, ModuleV):
        return monkeypatch_call(machine, function, node, frame)
    given = arguments_of(machine, node, frame)
    if isinstance(function, StandIn):
        return _call_mock(machine, function, given, node, frame)
    if isinstance(function, BoundMethod) and isinstance(function.owner, StandIn):
        return _ask_mock(machine, function, given, node)
    if isinstance(function, Func):
        return call_function(machine, function, given.args, given.kwargs, given)
    if isinstance(function, ClassV):
        return instantiate(machine, function, given)
    if isinstance(function, BoundMethod):
        return _call_method(machine, function, given, node)
    return _call_elsewhere(machine, function, given, node, frame)


def _call_mock(machine: Machine, standin: StandIn, given: Arguments, node: ast.Call, frame: Frame) -> Value:
    root, path = standin.root, (*standin.path, "()")
    place = machine.own_place or Place(cast("ast.stmt", node), cast("ast.stmt", node), "")
    op = Op(
        root, standin.path, given.args, given.kwargs, place, complete_arguments=given.complete, used=True, node=node
    )
    machine.note(op)
    op.configured = path in root.results or standin.path in root.effects
    effect = root.effects.get(standin.path)
    if effect is not None and not (isinstance(effect, Const) and effect.value is None):
        value = _effect(machine, op, effect, given)
    else:
        value = root.results.get(path) or StandIn(root, path)
    op.result = machine.answer(op, value)
    return _as_from_driver(op.method, op.result)


def _as_from_driver(method: str, value: Value) -> Value:
    """The same value, remembered to come from a driver."""
    if method not in ("fetchrow", "fetch", "fetchone", "fetchall"):
        return value
    if isinstance(value, DictV):
        return DictV(value.items, raw=True)
    if isinstance(value, ListV):
        return ListV([_as_from_driver("fetchrow", each) for each in value.items], value.kind, raw=True)
    return value


def _effect(machine: Machine, op: Op, effect: Value, given: Arguments) -> Value:
    if isinstance(effect, ListV):
        number = sum(1 for each in machine.trace.ops if each.root is op.root and each.path == op.path) - 1
        if number >= len(effect.items):
            return UNKNOWN
        return (
            _effect(machine, op, effect.items[number], given)
            if isinstance(effect.items[number], ModuleV | ClassV)
            else effect.items[number]
        )
    if isinstance(effect, Func):
        return call_function(machine, effect, given.args, given.kwargs, given)
    name = (
        effect.name
        if isinstance(effect, ModuleV)
        else effect.cls.node.name
        if isinstance(effect, Instance)
        else effect.node.name
        if isinstance(effect, ClassV)
        else "?"
    )
    op.raises = name
    raise Raised(name.rpartition(".")[2])


def _ask_mock(machine: Machine, method: BoundMethod, given: Arguments, node: ast.Call) -> Value:
    owner = cast("StandIn", method.owner)
    if method.name.startswith("assert_"):
        machine.check(method.name, owner, given.args, given.kwargs, node)
    else:
        machine.problem(f"{method.name}() of a mock is called")
    return Const(None)


def _call_method(machine: Machine, method: BoundMethod, given: Arguments, node: ast.Call) -> Value:
    owner = method.owner
    if isinstance(owner, Instance | ClassV):
        cls = owner.cls if isinstance(owner, Instance) else owner
        found = member(machine, cls, method.name)
        if found is None:
            return UNKNOWN
        function = cast("ast.FunctionDef", found[1])
        plain = any(isinstance(each, ast.Name) and each.id == "staticmethod" for each in function.decorator_list)
        machine.called_answer(cls, node)
        made = machine.decorated(Func(found[0].module, function), Frame(found[0].module, {}, "module"))
        if isinstance(made, Func):
            return call_function(machine, made, given.args if plain else [owner, *given.args], given.kwargs, given)
        return UNKNOWN
    if isinstance(owner, Sym):
        return Sym("", pure=False, pytype="str" if method.name in _TEXTS else owner.pytype)
    return pure.method_call(owner, method.name, given.args, given.kwargs)


def _call_elsewhere(machine: Machine, function: Value, given: Arguments, node: ast.Call, frame: Frame) -> Value:
    name = function.name if isinstance(function, ModuleV) else ""
    if name == "httpx.Response":
        return instantiate(machine, answer_class(), given)
    if name in _RUNNERS or (isinstance(node.func, ast.Attribute) and node.func.attr == "run_until_complete"):
        machine.awaited(node.args[0]) if node.args else None
        if frame.kind == "test":
            machine.trace.runs.append(node)
        return given.args[0] if given.args else UNKNOWN
    if name in _GATHERERS:
        for each in node.args:
            machine.awaited(each)
        return ListV(given.args) if name == "asyncio.gather" else (given.args or [UNKNOWN])[0]
    if name.endswith("mock.call"):
        return ListV([ListV(given.args, "tuple"), DictV(dict(given.kwargs))], "call")
    if isinstance(function, ModuleV) and name.endswith(_EXCEPTIONS):
        # An exception says what it is by its class.
        return replace(function, arguments=(*given.args, *given.kwargs.values()))
    _escapes(machine, name, given, node)
    text = ast.unparse(node) if frame.kind == "test" else None
    if isinstance(function, ModuleV):
        return pure.external_call(name, given.args, given.kwargs, text)
    if isinstance(function, Sym):
        return Sym(text or "", pure=False)
    return UNKNOWN


def _escapes(machine: Machine, name: str, given: Arguments, node: ast.Call) -> None:
    """A mock that is handed to code which nobody here can read."""
    if (
        name in _HARMLESS
        or name.startswith(("pytest.", "typing."))
        or (name and name[0].isupper() and name.endswith(("Error", "Exception")))
    ):
        return
    for value in [*given.args, *given.kwargs.values()]:
        inner = holds_mock(value)
        if inner is not None:
            inner.root.escapes.append(ast.unparse(node.func))
        elif isinstance(value, Func) and value.module is machine.module and value.closure:
            inner = _closure_mock(value)
            if inner is not None:
                inner.root.escapes.append(ast.unparse(node.func))


def _closure_mock(function: Func) -> StandIn | None:
    names = {each.id for each in ast.walk(function.node) if isinstance(each, ast.Name)}
    closure = function.closure or {}
    return next((found for name in names if name in closure and (found := holds_mock(closure[name]))), None)


def entered(machine: Machine, item: ast.withitem, frame: Frame, *, is_async: bool) -> Value:
    """The value that a ``with`` item binds."""
    node = item.context_expr
    module = cast("Module", frame.module)
    if (
        isinstance(node, ast.Call)
        and frame.kind in _OWN
        and module in machine.own_modules
        and is_patch(node.func, module.imports)
    ):
        name = item.optional_vars.id if isinstance(item.optional_vars, ast.Name) else None
        return make_patch(machine, node, frame, how="with", name=name, whole=item)
    value = machine.evaluate(node, frame)
    if isinstance(value, Yielded):
        return value.value
    if isinstance(value, StandIn):
        machine.opened(node)
        step = "__aenter__" if is_async else "__enter__"
        path = (*value.path, step, "()")
        return value.root.results.get(path) or StandIn(value.root, path)
    if isinstance(value, Instance):
        method = member(machine, value.cls, "__aenter__" if is_async else "__enter__")
        if method is not None:
            return call_function(machine, Func(method[0].module, cast("ast.FunctionDef", method[1])), [value], {}, None)
    return value
