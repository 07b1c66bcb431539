"""One test: which clients it takes, which data it needs, what it asserts instead."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from test_framework.migration.rewriter.assertions import Assertions
from test_framework.migration.rewriter.clickhouse_data import ClickHouseSeeds
from test_framework.migration.rewriter.edits import FunctionEdit, Positions
from test_framework.migration.rewriter.events import CannotTell, Op, Patch, Setup
from test_framework.migration.rewriter.kinds import normal
from test_framework.migration.rewriter.reading import Function, is_unittest
from test_framework.migration.rewriter.redis_data import RedisSeeds
from test_framework.migration.rewriter.roots import Plan, our_roots
from test_framework.migration.rewriter.schema import Schema, shipped_schema
from test_framework.migration.rewriter.sql_data import SqlSeeds
from test_framework.migration.rewriter.sql_lines import sql_lines
from test_framework.migration.rewriter.values import Const, ListV, Root, StandIn, Value
from test_framework.migration.rewriter.wanted import Client, Seeds

__all__ = ["Plan", "Planner", "make_plan", "our_roots"]

_SETUPS = ("setup_method", "setup")
_SUPPORTED = ("postgres", "redis", "clickhouse")


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
        asyncio_marked: bool,
    ) -> None:
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

    def run(self) -> None:
        self._refuse()
        self._choose_clients()
        seeds = self._seed()
        self._place(seeds)
        self._assert()
        self._hand_in()
        self._remove_setups()
        self._patches()
        self._finish()

    # What cannot be done at all.

    def _refuse(self) -> None:
        if self.trace.problems:
            raise CannotTell(self.trace.problems[0])
        if self.plan.test.cls is not None and is_unittest(self.plan.test.cls):
            raise CannotTell("a unittest class takes no fixtures as parameters: make it a plain class first")
        for root in self.plan.ours:
            if root.kind not in _SUPPORTED:
                raise CannotTell(_ADVICE[root.kind or "http"])
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
        for kind, roots in by_kind.items():
            if len({self._family(root) for root in roots}) > 1:
                raise CannotTell(f"several mocks stand in for {kind}: a person must say which is which")
            for root in roots:
                self.clients[id(root)] = self._client(kind, root)

    def _family(self, root: Root) -> int:
        """Mocks that lead to each other are one service."""
        for other in self.trace.roots:
            if (
                any(isinstance(value, StandIn) and value.root is root for value in other.results.values())
                and other is not root
            ):
                return self._family(other)
        return id(root)

    def _client(self, kind: str, root: Root) -> Client:
        ops = [
            op
            for op in self.trace.ops
            if self._same_kind(op.root, kind)
            and normal(op.path)[1] not in (None, "pipeline", "transaction", "acquire", "close")
        ]
        direct = [op for op in ops if normal(op.path)[0] != "pipeline"]
        plain = [op for op in direct if not op.awaited]
        if kind == "redis":
            if plain and len(plain) < len(direct):
                raise CannotTell("some calls are awaited and some are not")
            return self._redis_client(waits=not plain, decoded=not self._bytes(ops))
        if plain:
            raise CannotTell(f"the code under test calls {plain[0].method} without await: it needs a client of its own")
        if kind == "postgres" and self._is_pool(root):
            return Client("real_pool")
        return Client({"postgres": "real_postgres", "clickhouse": "real_clickhouse"}[kind])

    def _same_kind(self, root: Root, kind: str) -> bool:
        return root.kind == kind

    def _redis_client(self, *, waits: bool, decoded: bool) -> Client:
        name = "real_redis" + ("" if waits else "_sync") + ("" if decoded else "_bytes")
        if name != "real_redis":
            self.plan.local_fixtures.add(name)
        return Client(name, waits, decoded)

    def _bytes(self, ops: Sequence[Op]) -> bool:
        return any(_has_bytes(op.result) for op in ops if op.result is not None and op.configured)

    def _is_pool(self, root: Root) -> bool:
        events: list[Op | Setup] = [*self.trace.ops, *self.trace.setups]
        used = {event.path[0] for event in events if event.root is root and event.path}
        return bool({"acquire", "connection"} & (used | {path[0] for path in root.results if path}))

    @property
    def pooled(self) -> bool:
        return any(client.name == "real_pool" for client in self.clients.values())

    def asker(self, kind: str) -> Client:
        """The client by which the test itself looks at a service."""
        if kind == "postgres":
            return Client("real_postgres")
        return next(client for root in self.plan.ours if root.kind == kind for client in [self.clients[id(root)]])

    # Data.

    def _seed(self) -> Seeds:
        kinds = {root.kind for root in self.plan.ours}
        checked = {check.method for check in self.trace.checks}
        exact = self.trace.whole_compare
        self.redis = RedisSeeds(self.asker("redis"), checked) if "redis" in kinds else None
        self.sql = (
            SqlSeeds(Client("real_postgres"), self.schema, pinned=self._pinned, exact=exact, shared=self.pooled)
            if "postgres" in kinds
            else None
        )
        self.clickhouse = (
            ClickHouseSeeds(Client("real_clickhouse"), shipped_schema("clickhouse")) if "clickhouse" in kinds else None
        )
        for op in self.trace.ops:
            if op.root.kind == "redis" and self.redis and not self._is_factory_call(op):
                self.redis.take(op)
            elif op.root.kind == "postgres" and self.sql and not self._is_factory_call(op):
                self.sql.take(op)
            elif op.root.kind == "clickhouse" and self.clickhouse and not self._is_factory_call(op):
                self.clickhouse.take(op)
        found = Seeds()
        for each in (
            self.redis.seeds if self.redis else None,
            sql_lines(self.sql) if self.sql else None,
            self.clickhouse.lines() if self.clickhouse else None,
        ):
            found.lines += each.lines if each else []
        return found

    def _is_factory_call(self, op: Op) -> bool:
        return op.path in ((), ("()",))

    def _pinned(self, value: Value) -> bool:
        """Whether the test names this very constant, apart from telling it to a mock."""
        if not isinstance(value, Const):
            return True
        told = {id(part) for setup in self.trace.setups for part in ast.walk(setup.place.statement)}
        return any(
            isinstance(part, ast.Constant)
            and part.value == value.value
            and type(part.value) is type(value.value)
            and id(part) not in told
            for part in ast.walk(self.test)
        )

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
            if not isinstance(statement, ast.Expr | ast.Assert):
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
                self._delete(setup.place.statement, setup.place.scope)
                self.plan.rewritten += 1
        for place in self.trace.leftovers:
            if place.scope == self.scope:
                self._delete(place.statement, place.scope)

    def _delete(self, statement: ast.stmt, scope: str) -> None:
        if id(statement) not in self.own or scope in self.plan.provided:
            return
        if isinstance(statement, ast.With | ast.AsyncWith | ast.For | ast.If | ast.Try):
            raise CannotTell("a mock is prepared in a nested statement")
        self.edits.delete.add(self.positions.of(statement))
        if scope != self.scope:
            self.plan.touched.add(scope)

    # What comes.

    def _hand_in(self) -> None:
        for root in self.plan.ours:
            client = self.clients[id(root)]
            if root.parent is not None or root.how != "call":
                continue
            self._bindings(root, client)
            if self._only_given(root):
                if "::" not in root.scope:
                    self.plan.provided.add(root.scope)
                continue
            self._replace_making(root, client)
        for (scope, name), value in self.trace.aliases.items():
            if value.root.kind is None or scope != self.scope:
                continue
            through, _ = normal((*value.path, "x"))
            if value.path[-1:] != ("()",) and not through:
                raise CannotTell(f"{name} is a part of the mock")
            self.edit(scope).rename[name] = self.asker(value.root.kind).name

    def _only_given(self, root: Root) -> bool:
        """Whether a fixture does nothing but to make this mock, prepare it and hand it over."""
        if not root.given_by or root.given_by != root.scope:
            return False
        function = self.functions.get(root.scope)
        if function is None:
            return True
        mine = {id(setup.place.statement) for setup in self.trace.setups if setup.place.scope == root.scope}
        mine |= {id(part.statement) for part in self.trace.roots if part.scope == root.scope}
        return all(
            id(each) in mine
            or isinstance(each, ast.Return | ast.Import | ast.ImportFrom)
            or (isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant | ast.Yield))
            for each in function.body
        )

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

    def _bindings(self, root: Root, client: Client) -> None:
        for (scope, name), bound in self.trace.bindings.items():
            if bound is not root:
                continue
            if scope == root.scope and self._only_given(root):
                continue
            if scope == self.scope and root.given_by and not self._only_given(root):
                # The fixture does more than to give the mock: the test goes on asking for it.
                self.edit(scope).want(client.name)
                continue
            if scope not in self.functions and scope != "<module>":
                continue
            edit = self.edit(scope)
            edit.rename[name] = client.name
            edit.want(client.name)

    def _replace_making(self, root: Root, client: Client) -> None:
        """Where the mock was made, the real client is named."""
        if root.scope not in self.functions:
            raise CannotTell("the mock is made where no fixture can be taken")
        statement = root.statement
        edit = self.edit(root.scope)
        edit.want(client.name)
        if isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value is root.node:
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            if all(isinstance(target, ast.Name) for target in targets):
                self._delete(statement, root.scope)
                return
        assert isinstance(root.node, ast.expr)
        self.edits.exprs[self.positions.span(root.node)] = client.name

    def replacement(self, root: Root) -> str:
        """What is put where a patch put the mock."""
        client = self.clients[id(root)]
        calls = [op for op in self.trace.ops if op.root is root and op.path == ()]
        gives = any(
            path[:1] == ("()",)
            for path in [
                *root.results,
                *(op.path for op in self.trace.ops if op.root is root),
                *(s.path for s in self.trace.setups if s.root is root),
            ]
        )
        if not calls and not gives:
            return client.name
        if any(op.awaited for op in calls) or root.awaitable:
            return f"async:{client.name}"
        return f"lambda *args, **kwargs: {client.name}"

    def _patches(self) -> None:
        for patch in self.trace.patches:
            root = patch.root
            if root is None or root.kind is None:
                continue
            if "asyncpg." in patch.target or patch.target.startswith(("redis.", "clickhouse_connect.")):
                raise CannotTell(
                    f"{patch.target} is the driver itself: hand the client in, or give the code the test's address"
                )
            _PATCHES[patch.how](self, patch, root) if patch.how in _PATCHES else self._no_patch(patch)
            self.plan.rewritten += 1

    def _no_patch(self, patch: Patch) -> None:
        raise CannotTell(f"a patch of {patch.target} is started by hand or for a whole class")

    def _setattr(self, holder: str, patch: Patch, root: Root, scope: str) -> list[str]:
        text = self.replacement(root)
        edit = self.edit(scope)
        edit.want(self.clients[id(root)].name)
        if text.startswith("async:"):
            name = f"get_{text[6:]}"
            return [
                f"async def {name}(*args, **kwargs):\n    return {text[6:]}\n",
                f"{holder}.setattr({patch.target_text}, {name})",
            ]
        return [f"{holder}.setattr({patch.target_text}, {text})"]

    def patch_decorator(self, patch: Patch, root: Root) -> None:
        edit = self.edit(self.scope)
        assert isinstance(patch.whole, ast.expr)
        edit.decorators_off.add(self.positions.of(patch.whole))
        edit.want("monkeypatch")
        if patch.parameter and not patch.has_new:
            edit.remove.add(patch.parameter)
            if not self._is_giver(root):
                edit.rename[patch.parameter] = self.clients[id(root)].name
        edit.first += [line for line in self._setattr("monkeypatch", patch, root, self.scope) if line not in edit.first]

    def _is_giver(self, root: Root) -> bool:
        return self.replacement(root) != self.clients[id(root)].name

    def patch_with(self, patch: Patch, root: Root) -> None:
        assert isinstance(patch.whole, ast.withitem) and patch.place is not None
        if patch.scope not in self.functions:
            raise CannotTell("a fixture of a conftest.py patches: change it there first")
        block = patch.place.statement
        if not isinstance(block, ast.With | ast.AsyncWith) or isinstance(block, ast.AsyncWith):
            raise CannotTell("a patch is entered in a way that is not understood")
        edit = self.edit(patch.scope)
        edit.want("monkeypatch")
        number = sum(1 for span in self.edits.with_items) + 1
        holder = "patched" if number == 1 else f"patched_{number}"
        self.edits.with_items[self.positions.span(patch.whole.context_expr)] = holder
        if patch.parameter and not patch.has_new:
            edit.rename[patch.parameter] = self.clients[id(root)].name
        key = self.positions.of(block.body[0])
        self.edits.before[key] = [*self._setattr(holder, patch, root, patch.scope), *self.edits.before.get(key, [])]

    def patch_mocker(self, patch: Patch, root: Root) -> None:
        statement = patch.place.statement if patch.place else None
        if statement is None or patch.scope not in self.functions:
            raise CannotTell("mocker.patch is used in a way that is not understood")
        value = statement.value if isinstance(statement, ast.Assign | ast.Expr) else None
        if value is not patch.node:
            raise CannotTell("mocker.patch is a part of a larger statement")
        edit = self.edit(patch.scope)
        edit.want("monkeypatch")
        for target in statement.targets if isinstance(statement, ast.Assign) else ():
            if not isinstance(target, ast.Name):
                raise CannotTell("mocker.patch is assigned to an attribute")
            edit.rename[target.id] = self.clients[id(root)].name
        self.edits.replace[self.positions.of(statement)] = self._setattr("monkeypatch", patch, root, patch.scope)

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
            client = self.asker(kind)
            edit.want(client.name)
            edit.decorators_on.append(f"pytest.mark.requires_{kind}")
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


def _has_bytes(value: Value | None) -> bool:
    if isinstance(value, Const):
        return isinstance(value.value, bytes)
    if isinstance(value, ListV):
        return any(_has_bytes(each) for each in value.items)
    items = getattr(value, "items", None)
    return isinstance(items, dict) and any(isinstance(key, bytes) or _has_bytes(each) for key, each in items.items())


def _first_statement(node: Function) -> ast.stmt:
    body = node.body
    first = body[0]
    is_text = (
        isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    )
    return body[1] if is_text and len(body) > 1 else first


_ADVICE = {
    "websocket": "take real_websocket_client and let a real handler answer: a person must say which",
    "http": "take real_http_client and the real service: a person must say which, and what it answers",
}
_PATCHES = {
    "decorator": Planner.patch_decorator,
    "with": Planner.patch_with,
    "mocker": Planner.patch_mocker,
}


def make_plan(planner: Planner) -> None:
    """Plan one test; the reason is in the plan when that cannot be done."""
    try:
        planner.run()
    except CannotTell as error:
        planner.plan.reason = str(error)
