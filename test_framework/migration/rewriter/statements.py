"""Reading statements: in the order in which they would run."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, cast

from test_framework.migration.rewriter.events import Finish, Frame, Place, Raised
from test_framework.migration.rewriter.expressions import evaluate
from test_framework.migration.rewriter.mocks import dotted, origin_of
from test_framework.migration.rewriter.modules import Module
from test_framework.migration.rewriter.values import UNKNOWN, ArgRef, Const, CountRef, Func, ListV, StandIn, truth

if TYPE_CHECKING:
    from test_framework.migration.rewriter.machine import Machine

__all__ = ["run_block"]

_OWN = ("test", "fixture", "setup")
_PARENTS = {"JSONDecodeError": "ValueError", "UniqueViolationError": "IntegrityConstraintViolationError"}
_UNROLLED = 50


def run_block(machine: Machine, body: Sequence[ast.stmt], frame: Frame, *, top: bool = False) -> None:
    """Read ``body``. Raises Finish at a ``return``, Raised where the code would raise."""
    for statement in body:
        if frame.kind in _OWN:
            anchor = statement if top or frame.place is None else frame.place.anchor
            frame.place = Place(statement, anchor, frame.scope)
            machine.own_place = frame.place
        runner = _RUNNERS.get(type(statement))
        if runner is not None:
            runner(machine, statement, frame)
            if frame.kind in _OWN:
                machine.own_place = frame.place


def _expression(machine: Machine, node: ast.stmt, frame: Frame) -> None:
    inner = cast("ast.Expr", node).value
    machine.forget_refs(frame)
    evaluate(machine, inner, frame)
    machine.unused(inner)
    if machine.refs and frame.kind in _OWN:
        machine.problem("what a mock was called with is used in a way that is not understood")


def _assign(machine: Machine, node: ast.stmt, frame: Frame) -> None:
    machine.forget_refs(frame)
    if isinstance(node, ast.Assign):
        value = evaluate(machine, node.value, frame)
        if machine.refs and frame.kind in _OWN and not isinstance(value, ArgRef | CountRef):
            machine.check_refs(node)
        for target in node.targets:
            machine.bind(target, value, frame)
    elif isinstance(node, ast.AnnAssign) and node.value is not None:
        machine.bind(node.target, evaluate(machine, node.value, frame), frame)
    elif isinstance(node, ast.AugAssign):
        left = node.target
        if isinstance(left, ast.Name | ast.Attribute):
            read = ast.copy_location(ast.BinOp(_loaded(left), node.op, node.value), node)
            machine.bind(left, evaluate(machine, read, frame), frame)


def _loaded(node: ast.Name | ast.Attribute) -> ast.expr:
    if isinstance(node, ast.Name):
        return ast.copy_location(ast.Name(node.id, ast.Load()), node)
    return ast.copy_location(ast.Attribute(node.value, node.attr, ast.Load()), node)


def _return(machine: Machine, node: ast.stmt, frame: Frame) -> None:
    value = cast("ast.Return", node).value
    raise Finish(evaluate(machine, value, frame) if value else Const(None))


def _raise(machine: Machine, node: ast.stmt, frame: Frame) -> None:
    raised = cast("ast.Raise", node).exc
    if raised is not None:
        evaluate(machine, raised, frame)
    called = raised.func if isinstance(raised, ast.Call) else raised
    raise Raised(dotted(called).rpartition(".")[2] if called is not None else "")


def _if(machine: Machine, node: ast.stmt, frame: Frame) -> None:
    choice = cast("ast.If", node)
    known = truth(evaluate(machine, choice.test, frame))
    if known is not None:
        run_block(machine, choice.body if known else choice.orelse, frame)
        return
    ends = [_branch(machine, body, frame) for body in (choice.body, choice.orelse)]
    # One of both goes on: the other one was the exception to the rule.
    if all(ends):
        raise cast("Exception", ends[-1])


def _branch(machine: Machine, body: list[ast.stmt], frame: Frame) -> Exception | None:
    inner = frame
    with machine.maybe():
        try:
            run_block(machine, body, inner)
        except (Finish, Raised) as end:
            return end
    return None


def _for(machine: Machine, node: ast.stmt, frame: Frame) -> None:
    loop = cast("ast.For | ast.AsyncFor", node)
    over = evaluate(machine, loop.iter, frame)
    if isinstance(over, StandIn):
        found = over.root.results.get((*over.path, "__aiter__", "()")) or over.root.results.get(
            (*over.path, "__iter__", "()")
        )
        over = found or over
    if isinstance(over, ListV) and len(over.items) <= _UNROLLED:
        for each in over.items:
            machine.bind(loop.target, each, frame)
            try:
                run_block(machine, loop.body, frame)
            except _Break:
                break
            except _Continue:
                continue
        return
    with machine.maybe():
        machine.bind(loop.target, UNKNOWN, frame)
        _loop_once(machine, loop.body, frame)


def _loop_once(machine: Machine, body: list[ast.stmt], frame: Frame) -> None:
    try:
        run_block(machine, body, frame)
    except (_Break, _Continue):
        return


class _Break(Exception):
    pass


class _Continue(Exception):
    pass


def _break(machine: Machine, node: ast.stmt, frame: Frame) -> None:
    raise _Break


def _continue(machine: Machine, node: ast.stmt, frame: Frame) -> None:
    raise _Continue


def _while(machine: Machine, node: ast.stmt, frame: Frame) -> None:
    loop = cast("ast.While", node)
    known = truth(evaluate(machine, loop.test, frame))
    if known is False:
        return
    with machine.maybe():
        try:
            _loop_once(machine, loop.body, frame)
        except Raised:
            return


def _with(machine: Machine, node: ast.stmt, frame: Frame) -> None:
    block = cast("ast.With | ast.AsyncWith", node)
    expects = False
    for item in block.items:
        expects = expects or _expects_error(item.context_expr, frame)
        value = machine.entered(item, frame, is_async=isinstance(block, ast.AsyncWith))
        if item.optional_vars is not None:
            machine.bind(item.optional_vars, value, frame)
    raised = True
    try:
        # Data can be made within the block, unless the block waits for an error.
        run_block(machine, block.body, frame, top=not expects)
        raised = False
    except Raised:
        if not expects:
            raise
    finally:
        if expects and frame.kind == "test":
            machine.trace.expected.append((node, raised))


def _expects_error(node: ast.expr, frame: Frame) -> bool:
    if not isinstance(node, ast.Call):
        return False
    name = origin_of(node.func, cast("Module", frame.module).imports)
    return name in ("pytest.raises", "contextlib.suppress") or name.endswith((".assertRaises", ".assertRaisesRegex"))


def _try(machine: Machine, node: ast.stmt, frame: Frame) -> None:
    block = cast("ast.Try", node)
    try:
        try:
            run_block(machine, block.body, frame)
            run_block(machine, block.orelse, frame)
        except Raised as error:
            handler = _handler(block.handlers, error)
            if handler is None:
                raise
            if handler.name:
                frame.env[handler.name] = UNKNOWN
            run_block(machine, handler.body, frame)
    finally:
        run_block(machine, block.finalbody, frame)


def _handler(handlers: list[ast.ExceptHandler], error: Raised) -> ast.ExceptHandler | None:
    """The handler of an exception by its name; one of a general name takes everything."""
    for handler in handlers:
        caught = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
        for each in caught:
            name = dotted(each).rpartition(".")[2] if each is not None else "Exception"
            names = (error.name, _PARENTS.get(error.name), "Exception", "BaseException")
            httpx = each is not None and dotted(each) == "httpx.HTTPError" and error.name == "HTTPStatusError"
            if name in names or httpx or not error.name:
                return handler
    return None


def _assert(machine: Machine, node: ast.stmt, frame: Frame) -> None:
    statement = cast("ast.Assert", node)
    machine.forget_refs(frame)
    value = evaluate(machine, statement.test, frame)
    if machine.refs and frame.kind in _OWN:
        machine.check_refs(statement)
    elif frame.kind == "test":
        machine.trace.asserts.append((statement, truth(value)))
        if isinstance(value, StandIn):
            machine.problem("a mock itself is asserted")


def _function(machine: Machine, node: ast.stmt, frame: Frame) -> None:
    function = cast("ast.FunctionDef | ast.AsyncFunctionDef", node)
    made = Func(cast("Module", frame.module), function, frame.env)
    frame.env[function.name] = machine.decorated(made, frame)
    frame.locals.add(function.name)


def _import(machine: Machine, node: ast.stmt, frame: Frame) -> None:
    module = cast("Module", frame.module)
    for alias in cast("ast.Import | ast.ImportFrom", node).names:
        name = alias.asname or alias.name.split(".")[0]
        if name in module.imports:
            frame.env[name] = machine.resolve(module.imports[name])


def _match(machine: Machine, node: ast.stmt, frame: Frame) -> None:
    choice = cast("ast.Match", node)
    evaluate(machine, choice.subject, frame)
    ends = [_branch(machine, case.body, frame) for case in choice.cases]
    if ends and all(ends):
        raise cast("Exception", ends[-1])


def _delete(machine: Machine, node: ast.stmt, frame: Frame) -> None:
    for target in cast("ast.Delete", node).targets:
        if isinstance(target, ast.Name):
            frame.env.pop(target.id, None)


_RUNNERS: dict[type[ast.stmt], Callable[[Machine, ast.stmt, Frame], None]] = {
    ast.Expr: _expression,
    ast.Assign: _assign,
    ast.AnnAssign: _assign,
    ast.AugAssign: _assign,
    ast.Return: _return,
    ast.Raise: _raise,
    ast.If: _if,
    ast.For: _for,
    ast.AsyncFor: _for,
    ast.While: _while,
    ast.With: _with,
    ast.AsyncWith: _with,
    ast.Try: _try,
    ast.Assert: _assert,
    ast.FunctionDef: _function,
    ast.AsyncFunctionDef: _function,
    ast.Import: _import,
    ast.ImportFrom: _import,
    ast.Match: _match,
    ast.Break: _break,
    ast.Continue: _continue,
    ast.Delete: _delete,
}
