"""What the services must hold before a test, by the kinds of its mocks."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from test_framework.migration.rewriter.clickhouse_data import ClickHouseSeeds
from test_framework.migration.rewriter.events import Op
from test_framework.migration.rewriter.http_data import HttpProof, prove
from test_framework.migration.rewriter.redis_data import RedisSeeds
from test_framework.migration.rewriter.schema import shipped_schema
from test_framework.migration.rewriter.sql_data import SqlSeeds
from test_framework.migration.rewriter.sql_lines import sql_lines
from test_framework.migration.rewriter.values import Const, Root, Value
from test_framework.migration.rewriter.wanted import Client, Seeds
from test_framework.migration.rewriter.websocket_data import Socket

if TYPE_CHECKING:
    from test_framework.migration.rewriter.plan import Planner

__all__ = ["Prepared"]


class Prepared:
    """What takes notes of each kind; ``None`` for kinds that the test has no mock of. Raises CannotTell."""

    def __init__(self, planner: Planner) -> None:
        self.planner = planner
        kinds = {root.kind for root in planner.plan.ours}
        checked = {check.method for check in planner.trace.checks}
        exact = planner.trace.whole_compare
        self.redis = RedisSeeds(planner.asker("redis"), checked) if "redis" in kinds else None
        self.sql = (
            SqlSeeds(Client("real_postgres"), planner.schema, pinned=self._pinned, exact=exact, shared=planner.pooled)
            if "postgres" in kinds
            else None
        )
        self.clickhouse = (
            ClickHouseSeeds(Client("real_clickhouse"), shipped_schema("clickhouse")) if "clickhouse" in kinds else None
        )
        roots = [root for root in planner.plan.ours if root.kind == "http"]
        sockets = [root for root in planner.plan.ours if root.kind == "websocket" and root.how == "call"]
        self.sockets = {id(root): Socket(planner, root) for root in sockets}
        self.http = self._proof(roots) if roots else None

    def seeds(self) -> Seeds:
        takers = {"redis": self.redis, "postgres": self.sql, "clickhouse": self.clickhouse}
        for op in self.planner.trace.ops:
            taker = takers.get(op.root.kind or "")
            if taker is not None and not _is_factory_call(op):
                taker.take(op)
        found = Seeds()
        for each in (
            self.redis.seeds if self.redis else None,
            sql_lines(self.sql) if self.sql else None,
            self.clickhouse.lines() if self.clickhouse else None,
        ):
            found.lines += each.lines if each else []
        found.lines += self.http.service.lines if self.http else []
        return found

    def _proof(self, roots: list[Root]) -> HttpProof:
        planner = self.planner
        return prove(planner.asker("http"), roots, planner.trace, planner.again, planner.application)

    @property
    def fixtures(self) -> set[str]:
        """Fixtures that the data needs, besides the clients."""
        return self.http.service.fixtures if self.http else set()

    def _pinned(self, value: Value) -> bool:
        """Whether the test names this very constant, apart from telling it to a mock."""
        if not isinstance(value, Const):
            return True
        told = {id(part) for setup in self.planner.trace.setups for part in ast.walk(setup.place.statement)}
        return any(
            isinstance(part, ast.Constant)
            and part.value == value.value
            and type(part.value) is type(value.value)
            and id(part) not in told
            for part in ast.walk(self.planner.test)
        )


def _is_factory_call(op: Op) -> bool:
    return op.path in ((), ("()",))
