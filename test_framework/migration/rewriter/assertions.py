"""From an assertion about calls of a mock to one about data."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from test_framework.migration.rewriter.events import CannotTell, Check, Op
from test_framework.migration.rewriter.http_checks import http_assertion
from test_framework.migration.rewriter.kinds import normal
from test_framework.migration.rewriter.redis_checks import (
    MAKERS,
    Said,
    not_called,
    redis_assertion,
    redis_key,
    redis_value,
)
from test_framework.migration.rewriter.redis_names import text_of
from test_framework.migration.rewriter.sql import Statement, read_sql
from test_framework.migration.rewriter.sql_lines import sql_assertion, sql_not_called, sql_total
from test_framework.migration.rewriter.values import ArgRef, Const, CountRef, Value
from test_framework.migration.rewriter.wanted import is_any, said
from test_framework.migration.rewriter.websocket_checks import websocket_assertion

if TYPE_CHECKING:
    from test_framework.migration.rewriter.plan import Planner

__all__ = ["Assertions"]

_Result = tuple[list[str], list[str], list[tuple[ast.expr, str]]]


class Assertions:
    """Makes the assertions of one test. Raises CannotTell."""

    def __init__(self, planner: Planner) -> None:
        self.planner = planner

    def of(self, check: Check) -> _Result:
        """Statements at the test's beginning, statements instead of the assertion, expressions within it."""
        if check.root.kind == "http" and self.planner.data.http is not None:
            return http_assertion(check, self.planner.data.http)
        if id(check.root) in self.planner.data.sockets:
            return websocket_assertion(check, self.planner.data.sockets[id(check.root)])
        if check.what == "refs":
            return self._refs(check)
        ops = self._ops(check)
        if check.what in ("assert_not_called", "assert_not_awaited"):
            return self._none(check, ops)
        if not check.path or normal(check.path)[1] is None:
            raise CannotTell(f"{check.what} of {'.'.join(check.path) or 'the mock itself'} says nothing about data")
        if check.what in ("assert_has_calls", "assert_has_awaits"):
            return [], self._each(check, ops), []
        if not ops:
            raise CannotTell(f"the call of {check.method} that is asserted is not made by any code in sight")
        if check.root.kind == "redis" and check.method == "publish":
            return self._published(check, ops)
        if check.what.endswith("_with") or check.what in ("assert_any_call", "assert_any_await"):
            return [], self._said(check, check.args, check.kwargs, ops), []
        return [], list(dict.fromkeys(line for op in ops for line in self._called(check, op))), []

    def _ops(self, check: Check) -> list[Op]:
        return [op for op in self.planner.trace.ops if op.root is check.root and op.path == check.path]

    def _called(self, check: Check, op: Op) -> list[str]:
        if check.root.kind == "redis" and op.method == "execute":
            others = [each for each in self.planner.trace.ops if each.root is op.root and each.method in MAKERS]
            return list(
                dict.fromkeys(line for each in others for line in self._said(check, each.args, each.kwargs, [each]))
            )
        return self._said(check, op.args, op.kwargs, [op])

    def _published(self, check: Check, ops: list[Op]) -> _Result:
        """A message is no data: the test listens before and looks after."""
        client = self.planner.asker("redis")
        args = check.args if len(check.args) > 1 else ops[-1].args
        if len(args) < 2 or not client.waits or any(is_any(each) for each in args) or len(ops) > 1:
            raise CannotTell("which message is published cannot be told from the source")
        channel, message = said(args[0], "the channel"), text_of(args[1], client, "the message")
        if self.planner.listens:
            raise CannotTell("several messages are asserted")
        self.planner.listens = True
        before = [
            f"listener = {client.name}.pubsub()",
            f"await listener.subscribe({channel})",
            "await listener.get_message(timeout=5)",
        ]
        after = [f'assert (await listener.get_message(timeout=5))["data"] == {message}', "await listener.aclose()"]
        return before, after, []

    def _each(self, check: Check, ops: list[Op]) -> list[str]:
        lines = [line for args, kwargs in check.calls() for line in self._said(check, args, kwargs, ops)]
        return list(dict.fromkeys(lines))

    def _said(self, check: Check, args: Sequence[Value], kwargs: dict[str, Value], ops: list[Op]) -> list[str]:
        method = normal(check.path)[1] or ""
        op = ops[-1] if ops else None
        if check.root.kind == "redis":
            assert self.planner.data.redis is not None
            matching = next((each for each in ops if _agree(each.args, args)), op)
            method = op.method if op is not None and method == "execute" else method
            return redis_assertion(method, Said(method, args, kwargs, matching), self.planner.data.redis)
        if check.root.kind == "clickhouse":
            assert self.planner.data.clickhouse is not None and op is not None
            return self.planner.data.clickhouse.assertion(method, args, kwargs, op)
        assert self.planner.data.sql is not None
        lines: list[str] = []
        for statement in self._statements(args, ops):
            lines += sql_assertion(statement, self.planner.data.sql)
        return list(dict.fromkeys(lines))

    def _statements(self, args: Sequence[Value], ops: list[Op]) -> list[Statement]:
        assert self.planner.data.sql is not None
        if args and isinstance(args[0], Const) and isinstance(args[0].value, str):
            same = [
                op
                for op in ops
                if op.args and isinstance(op.args[0], Const) and op.args[0].value.split() == args[0].value.split()
            ]
            given = [
                same[-1].args[n] if is_any(each) and same and n < len(same[-1].args) else each
                for n, each in enumerate(args)
            ]
            if same and same[-1].method == "executemany":
                return self.planner.data.sql.read(same[-1])
            return [read_sql(args[0].value, given[1:])]
        return self.planner.data.sql.read(ops[-1])

    def _none(self, check: Check, ops: list[Op]) -> _Result:
        if ops:
            raise CannotTell(f"{check.method} is called by the code in sight, and asserted not to be")
        method = normal(check.path)[1] if check.path else None
        if check.root.kind == "redis":
            assert self.planner.data.redis is not None
            return [], not_called(method or "", self.planner.trace.ops, self.planner.data.redis), []
        if check.root.kind != "postgres":
            raise CannotTell("that nothing was sent cannot be seen in the data")
        assert self.planner.data.sql is not None
        before, after = sql_not_called(self._unsent(method or ""), self.planner.data.sql)
        return before, after, []

    def _unsent(self, method: str) -> list[Statement]:
        """What the code in sight would send by this method."""
        found: list[Statement] = []
        for function in self.planner.visited:
            for node in ast.walk(function):
                if (
                    isinstance(node, ast.Call)
                    and isinstance(node.func, ast.Attribute)
                    and node.func.attr == method
                    and node.args
                ):
                    text = node.args[0]
                    if isinstance(text, ast.Constant) and isinstance(text.value, str):
                        found.append(self._bare(text.value))
        return found

    def _bare(self, text: str) -> Statement:
        from test_framework.migration.rewriter.values import Sym

        return read_sql(text, [Sym(f"argument_{n}") for n in range(30)])

    # ``assert mock.get.call_count == 1`` and ``assert mock.set.call_args[0][1] == …``.

    def _refs(self, check: Check) -> _Result:
        node, value = check.refs[0]
        test = check.node.test if isinstance(check.node, ast.Assert) else node
        if isinstance(value, CountRef):
            if len(check.refs) > 1 or isinstance(check.node, ast.Assign):
                raise CannotTell("several counts of calls are asserted at once")
            return self._count(check, value, test, node)
        refs = [(where, each) for where, each in check.refs if isinstance(each, ArgRef)]
        if len(refs) < len(check.refs) or any(each.root is not refs[0][1].root for _, each in refs):
            raise CannotTell("calls of several mocks are asserted at once")
        found = self._argument(check, refs)
        if found[1] and isinstance(check.node, ast.Assign):
            raise CannotTell("what a mock was called with is used in a way that is not understood")
        return found

    def _count(self, check: Check, ref: CountRef, test: ast.expr, node: ast.expr) -> _Result:
        number = _asserted_number(test, node, ref.what)
        inner = Check(ref.root, ref.path, "", [], {}, check.place, check.node)
        ops = self._ops(inner)
        if number == 0:
            return self._none(inner, ops)
        if number is not None and len(ops) != number:
            raise CannotTell(
                f"{inner.method} is asserted to be called {number} times, the code in sight calls it {len(ops)} times"
            )
        if not ops or not ref.path:
            raise CannotTell("the calls that are counted are not made by any code in sight")
        total = sql_total(ops, self.planner.data.sql) if ref.root.kind == "postgres" and self.planner.data.sql else []
        return [], total or list(dict.fromkeys(line for op in ops for line in self._called(inner, op))), []

    def _argument(self, check: Check, refs: list[tuple[ast.expr, ArgRef]]) -> _Result:
        ref = refs[0][1]
        ops = self._ops(Check(ref.root, ref.path, "", [], {}, check.place, check.node))
        if not ops:
            raise CannotTell("the call whose arguments are asserted is not made by any code in sight")
        try:
            op = ops[ref.index]
        except IndexError:
            raise CannotTell("the call whose arguments are asserted is not made by any code in sight") from None
        inner = Check(ref.root, ref.path, "assert_called", [], {}, check.place, check.node)
        if ref.root.kind == "redis" and len(refs) == 1 and ref.part == "one" and ref.which is not None:
            assert self.planner.data.redis is not None
            lines = self._called(inner, op)
            if ref.which in (0, "name", "key"):
                return [], redis_key(op, self.planner.data.redis) or lines, []
            if _is_time(op, ref.which):
                return [], [line for line in lines if "ttl(" in line] or lines, []
            client = self.planner.asker("redis")
            return [], [], [(refs[0][0], redis_value(op, ref.which, client))]
        if ref.root.kind == "postgres":
            assert self.planner.data.sql is not None
            lines = []
            for statement in self.planner.data.sql.read(op):
                only = _about(statement, op, {each.which for _, each in refs})
                lines += sql_assertion(only, self.planner.data.sql)
            return [], lines, []
        raise CannotTell("the arguments of a call are asserted in a way that is not understood")


def _about(statement: Statement, op: Op, which: set[int | str | None]) -> Statement:
    """Of an INSERT, only the columns that were given by these arguments."""
    if statement.verb != "insert":
        return statement
    args = [op.args[number] for number in which if isinstance(number, int) and 0 < number < len(op.args)]
    given = {name: value for name, value in statement.given.items() if any(value is each for each in args)}
    return replace(statement, given=given) if given else statement


def _is_time(op: Op, which: int | str) -> bool:
    return (
        which in ("ex", "time", "px")
        or (op.method in ("setex", "expire") and which == 1)
        or (op.method == "set" and which == 2)
    )


def _agree(args: Sequence[Value], said: Sequence[Value]) -> bool:
    from test_framework.migration.rewriter.sql_data import same

    return len(args) >= len(said) > 0 and all(
        is_any(each) or same(mine, each) for mine, each in zip(args, said, strict=False)
    )


def _asserted_number(test: ast.expr, node: ast.expr, what: str) -> int | None:
    """How many calls an ``assert`` demands; ``None`` for "at least one"."""
    if test is node:
        return None
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not) and test.operand is node:
        return 0
    if (
        isinstance(test, ast.Compare)
        and len(test.ops) == 1
        and isinstance(test.ops[0], ast.Eq | ast.Is | ast.GtE | ast.Gt)
    ):
        sides = [test.left, test.comparators[0]]
        other = next((each for each in sides if each is not node), None)
        if isinstance(other, ast.Constant):
            if isinstance(other.value, bool):
                return None if other.value else 0
            if isinstance(other.value, int) and isinstance(test.ops[0], ast.Eq | ast.Is):
                return other.value
            if isinstance(test.ops[0], ast.GtE | ast.Gt):
                return None
    raise CannotTell("the number of calls is asserted in a way that is not understood")
