"""One test: which clients it takes, which data it needs, what it asserts instead."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from test_framework.migration.rewriter.assertions import Assertions
from test_framework.migration.rewriter.clients import client_of, family_of
from test_framework.migration.rewriter.edits import FunctionEdit, Positions
from test_framework.migration.rewriter.events import CannotTell
from test_framework.migration.rewriter.handing import hand_in
from test_framework.migration.rewriter.http_data import Again
from test_framework.migration.rewriter.http_making import lead_to_service
from test_framework.migration.rewriter.http_requests import is_request
from test_framework.migration.rewriter.patching import replace_patches
from test_framework.migration.rewriter.preparing import Prepared
from test_framework.migration.rewriter.reading import Function, is_unittest
from test_framework.migration.rewriter.roots import Plan, our_roots
from test_framework.migration.rewriter.schema import Schema
from test_framework.migration.rewriter.values import Root
from test_framework.migration.rewriter.wanted import Client, Seeds
from test_framework.migration.rewriter.websocket_making import connect

__all__ = ["Plan", "Planner", "make_plan", "our_roots"]

_SETUPS = ("setup_method", "setup")


class Planner:
    """Makes the plan of one test. Raises CannotTell."""

    def __init__(
        self,
        plan: Plan,
        positions: Positions,
        own: set[int],
        schema: Schema,
        functions: dict[str, Function],
        visited: Sequence[ast.AST],
        *,
        again: Again,
        application: str,
        asyncio_marked: bool,
    ) -> None:
        self.again = again
        self.application = application
        self.plan = plan
        self.trace = plan.trace
        self.edits = plan.edits
        self.positions = positions
        self.own = own
        self.schema = schema
        self.functions = functions
        self.visited = visited
        self.asyncio_marked = asyncio_marked
        self.test = plan.test.node
        self.scope = plan.test.scope
        self.clients: dict[int, Client] = {}
        self.listens = False

    def run(self) -> None:
        self._refuse()
        self._choose_clients()
        self.data = Prepared(self)
        self._place(self.data.seeds())
        self._assert()
        hand_in(self)
        connect(self)
        self._remove_setups()
        lead_to_service(self)
        replace_patches(self)
        self._one_meaning()
        self._finish()

    # What cannot be done at all.

    def _one_meaning(self) -> None:
        """A name that is a mock of ours here and something else there cannot be renamed."""
        for (scope, name), roots in self.trace.bound.items():
            if scope != self.scope and scope not in self.plan.touched:
                continue
            clients = {
                self.clients[id(root)].name if root is not None and id(root) in self.clients else "" for root in roots
            }
            if len(clients) > 1:
                raise CannotTell(f"{name} is a mock of a service here, and something else there")

    def _refuse(self) -> None:
        if self.trace.problems:
            raise CannotTell(self.trace.problems[0])
        if self.plan.test.cls is not None and is_unittest(self.plan.test.cls):
            raise CannotTell("a unittest class takes no fixtures as parameters: make it a plain class first")
        for root in self.plan.ours:
            if root.escapes:
                raise CannotTell(f"{root.escapes[0]} takes the mock and its source is not in sight from here")
            if root.scope in ("<module>", "<class>"):
                raise CannotTell("the mock is made when the file is imported: let each test take the fixture")
            if "::" in root.scope and not root.given_by:
                raise CannotTell("a fixture of a conftest.py hands the mock on: change it there first")

    def _choose_clients(self) -> None:
        by_kind: dict[str, list[Root]] = {}
        for root in self.plan.ours:
            by_kind.setdefault(root.kind or "", []).append(root)
        for kind, everyone in by_kind.items():
            roots = [root for root in everyone if not root.answer]
            if kind != "websocket" and len({family_of(self, root) for root in roots}) > 1:
                raise CannotTell(f"several mocks stand in for {kind}: a person must say which is which")
            for root in roots:
                self.clients[id(root)] = client_of(self, kind, root)

    @property
    def pooled(self) -> bool:
        return any(client.name == "real_pool" for client in self.clients.values())

    def asker(self, kind: str) -> Client:
        """The client by which the test itself looks at a service."""
        if kind == "postgres":
            return Client("real_postgres")
        return next(self.clients[id(root)] for root in self.plan.ours if root.kind == kind and not root.answer)

    # Data.

    def _place(self, seeds: Seeds) -> None:
        for op, line in seeds.lines:
            own = op is not None and op.place.scope == self.scope
            anchor = op.place.anchor if op is not None and own else _first_statement(self.test)
            self.before(anchor, line)

    def before(self, anchor: ast.stmt, line: str) -> None:
        self.edits.before.setdefault(self.positions.of(anchor), []).append(line)

    # Assertions.

    def _assert(self) -> None:
        maker = Assertions(self)
        for check in self.trace.checks:
            if check.root.kind is None:
                continue
            before, lines, exprs = maker.of(check)
            if check.place.scope != self.scope:
                raise CannotTell("a fixture asserts something about the mock")
            statement = check.place.statement
            if not isinstance(statement, ast.Expr | ast.Assert) and check.node is not statement:
                raise CannotTell("an assertion about the mock is a part of a larger statement")
            for line in before:
                self.before(_first_statement(self.test), line)
            if lines:
                self.edits.replace[self.positions.of(statement)] = lines
            for node, text in exprs:
                self.edits.exprs[self.positions.span(node)] = text
            self.plan.rewritten += 1

    # What goes.

    def _remove_setups(self) -> None:
        for setup in self.trace.setups:
            if setup.root.kind is not None or (setup.root.parent is not None and setup.root.parent.kind is not None):
                self.delete(setup.place.statement, setup.place.scope)
                self.plan.rewritten += 1
        # What the test asks the service by itself stays, whatever it calls the answer.
        asking = {id(op.place.statement) for op in self.trace.ops if op.root.kind == "http" and is_request(op.path)}
        for place in self.trace.leftovers:
            if place.scope == self.scope and id(place.statement) not in asking:
                self.delete(place.statement, place.scope)

    def delete(self, statement: ast.stmt, scope: str) -> None:
        if id(statement) not in self.own or scope in self.plan.provided:
            return
        if isinstance(statement, ast.With | ast.AsyncWith | ast.For | ast.If | ast.Try):
            raise CannotTell("a mock is prepared in a nested statement")
        self.edits.delete.add(self.positions.of(statement))
        if scope != self.scope:
            self.plan.touched.add(scope)

    # What comes.

    def edit(self, scope: str) -> FunctionEdit:
        """The changes to a function of this file."""
        function = self.functions.get(scope)
        if function is None:
            raise CannotTell(f"{scope} is not in this file: change it there first")
        found = self.edits.function(self.positions.of(function))
        if scope != self.scope:
            self.plan.touched.add(scope)
            if function.name in _SETUPS:
                # A set-up method takes no fixtures; a fixture that every test uses does.
                found.name = "set_up"
                found.remove.add("method")
                if "pytest.fixture(autouse=True)" not in found.decorators_on:
                    found.decorators_on.append("pytest.fixture(autouse=True)")
        return found

    def _finish(self) -> None:
        edit = self.edit(self.scope)
        for call in self.trace.runs:
            if not call.args:
                raise CannotTell("a coroutine is run in a way that is not understood")
            inner = ast.unparse(call.args[0])
            for old, new in edit.rename.items():
                inner = _renamed(inner, old, new)
            self.edits.exprs[self.positions.span(call)] = f"await {inner}"
        kinds = sorted({root.kind or "" for root in self.plan.ours})
        for kind in kinds:
            if kind == "websocket":
                edit.want("isolated_websocket")  # which needs no service
                continue
            edit.want(self.asker(kind).name)
            edit.decorators_on.append(f"pytest.mark.requires_{kind}")
        for name in sorted(self.data.fixtures):
            edit.want(name)
        if self.pooled:
            self.plan.local_fixtures.add("real_pool")
        waits = any(client.waits for client in self.clients.values())
        if waits and not isinstance(self.test, ast.AsyncFunctionDef) and self._needs_loop():
            edit.make_async = True
            if not self.asyncio_marked:
                edit.decorators_on.append("pytest.mark.asyncio")

    def _needs_loop(self) -> bool:
        lines = [line for each in (*self.edits.before.values(), *self.edits.replace.values()) for line in each]
        return bool(self.trace.runs) or any("await " in line for line in [*lines, *self.edits.exprs.values()])


def _renamed(text: str, old: str, new: str) -> str:
    tree = ast.parse(text, mode="eval")
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id == old:
            node.id = new
    return ast.unparse(tree)


def _first_statement(node: Function) -> ast.stmt:
    body = node.body
    first = body[0]
    is_text = (
        isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    )
    return body[1] if is_text and len(body) > 1 else first


def make_plan(planner: Planner) -> None:
    """Plan one test; the reason is in the plan when that cannot be done."""
    try:
        planner.run()
    except CannotTell as error:
        planner.plan.reason = str(error)
