"""A ClickHouse database per test, a copy of the seeded one: what isolation needs to know about ClickHouse."""

from __future__ import annotations

import asyncio
import http.client
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from test_framework.endpoints import ClickHouseEndpoint
from test_framework.errors import ServiceUnavailable
from test_framework.isolation.counters import Counters
from test_framework.isolation.ledger import Ledger
from test_framework.services.base import MARK
from test_framework.services.clickhouse.admin import ClickHouseAdmin, drop_leased_database
from test_framework.services.clickhouse.client import (
    ClickHouseClient,
    ClickHouseReplyError,
    ask,
    quote_identifier,
    read_seed,
)
from test_framework.services.clickhouse.cloning import Object, Plan, clone_object, is_missing, read_plan
from test_framework.services.clickhouse.restoring import Restorer

__all__ = ["ClickHouseAdmin", "ClickHouseClones", "current_template", "drop_leased_database"]

Work = Callable[[], Awaitable[None]]

_STALE = (http.client.RemoteDisconnected, http.client.CannotSendRequest, ConnectionError)


class ClickHouseClones:
    """See :class:`~test_framework.isolation.ledger.Clones`."""

    service = "clickhouse"
    # Views and dictionaries name their database, so a copy keeps the name it was made with.
    renames = False

    def __init__(
        self,
        endpoint: ClickHouseEndpoint,
        ledger: Ledger,
        *,
        limit: int,
        timeout: float,
        workers: int = 1,
        counters: Counters | None = None,
    ) -> None:
        # One question to the server tells of all of them; but what all workers keep for themselves takes memory there.
        self.together = max(2, min(8, 16 // max(1, workers)))
        self._endpoint = endpoint
        self._timeout = timeout
        self.ledger = ledger
        self._admin = ClickHouseAdmin(endpoint, limit=limit, timeout=timeout, counters=counters)
        self._template = ""
        self._plan: Plan | None = None
        self._views: Sequence[Object] = ()  # in an order that has worked
        self._restorer: Restorer | None = None

    async def template(self) -> str:
        if not self._template:
            template = await ask(self._endpoint, self._timeout, self._find_template)
            await self.ledger.use_template(template)
            self._template = template
        return self._template

    async def _find_template(self) -> str:
        name = self._endpoint.database
        async with self._admin.use() as client:
            template = await current_template(client, name)
            if template is None:
                raise ServiceUnavailable(
                    f"the database {name!r} holds no seed, so there is nothing to give tests a copy of",
                    service="test-clickhouse",
                    where=self._endpoint.address,
                    fix="seed the stack: make test-seed",
                )
            self._plan = await read_plan(client, name)
        self._restorer = await Restorer.of(self._admin, self._plan)
        return template

    async def create(self, name: str, template: str) -> None:
        del template  # the plan was read together with it

        async def anew() -> None:
            async with self._admin.use() as client:
                await drop_leased_database(client, name)
            await self._create(name)

        await self._ask(lambda: self._create(name), again=anew)
        await self.remember(name)

    async def _create(self, name: str) -> None:
        assert self._plan is not None  # template() comes first
        plan = self._plan
        async with self._admin.use() as client:
            await client.execute(f"CREATE DATABASE {quote_identifier(name)} COMMENT '{MARK}'")
        await asyncio.gather(*(self._clone(plan, each, name) for each in plan.tables))
        await self._clone_views(plan, name)

    async def _clone(self, plan: Plan, each: Object, name: str) -> None:
        async with self._admin.use() as client:
            await clone_object(client, plan, each, name)

    async def _clone_views(self, plan: Plan, name: str) -> None:
        """They may build on each other, in an order that only the server knows: what fails is tried after the rest."""
        waiting, made = list(self._views or plan.views), []
        while waiting:
            postponed: list[Object] = []
            for each in waiting:
                try:
                    await self._clone(plan, each, name)
                except ClickHouseReplyError as error:
                    if not is_missing(error) or (each is waiting[-1] and len(postponed) == len(waiting) - 1):
                        raise
                    postponed.append(each)
                else:
                    made.append(each)
            waiting = postponed
        self._views = made

    async def remember(self, name: str) -> None:
        if self._restorer is not None:
            self._restorer.remember(name)

    async def adopt(self, name: str) -> str:
        return name

    async def destroy(self, name: str) -> None:
        if self._restorer is not None:
            self._restorer.forget(name)

        async def work() -> None:
            async with self._admin.use() as client:
                await drop_leased_database(client, name)

        await self._ask(work)

    async def let_go(self, name: str) -> None:
        """Nothing of ours is in it; and what it is like is known still when we take it again."""

    async def restore(self, name: str) -> bool:
        restored = False
        if (restorer := self._restorer) is not None:

            async def work() -> None:
                nonlocal restored
                restored = await restorer.restore(name)

            await self._ask(work)
        return restored

    async def _ask(self, work: Work, *, again: Work | None = None) -> None:
        async def attempt() -> None:
            try:
                await work()
            except _STALE:  # the server closes connections that were idle
                await self._admin.refresh()
                await (again or work)()

        await ask(self._endpoint, self._timeout, attempt)

    def endpoint(self, name: str) -> ClickHouseEndpoint:
        return replace(self._endpoint, database=name)

    async def close(self) -> None:
        await self._admin.close()


async def current_template(client: ClickHouseClient, database: str) -> str | None:
    """What copies of ``database`` are copies of: another seed is another UUID. ``None`` when nothing is seeded."""
    if await read_seed(client, database) is None:
        return None
    rows = await client.rows(
        "SELECT toString(uuid) FROM system.databases WHERE name = {database:String}", {"database": database}
    )
    return f"clickhouse:{rows[0][0]}" if rows else None
