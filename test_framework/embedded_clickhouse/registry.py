"""The queries that run now: by the client's id, with the marker under which the engine knows them."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Collection, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from test_framework.embedded_clickhouse.engine import Engine, safe_option
from test_framework.embedded_clickhouse.errors import ENGINE_ERRORS, ClickHouseError
from test_framework.embedded_clickhouse.marks import MARKER
from test_framework.embedded_clickhouse.settings import quote_string

__all__ = ["Registry"]


@dataclass(eq=False, frozen=True, slots=True)
class _Running:
    """One run of a query: another of the same id, and so of the same marker, is not this one."""

    query_id: str
    marker: str


class Registry:
    """Counts and names the running queries; kills them on request. Used from the event loop unless told otherwise.

    Args:
        limit: above it a query is refused.
    """

    def __init__(self, engine: Engine, *, limit: int) -> None:
        self._engine = engine
        self._limit = limit
        self._running: dict[str, _Running] = {}
        self._loop = asyncio.get_running_loop()
        self._pursuits: set[asyncio.Task[None]] = set()
        self._numbers = itertools.count(1)
        # Killing must not wait behind the queries that it is to end.
        self._control: Executor = ThreadPoolExecutor(2, thread_name_prefix="control")

    @contextmanager
    def running(self, query_id: str) -> Iterator[str]:
        """Register a query while it runs; gives its marker.

        Raises:
            ClickHouseError: too many queries, or one with this id runs already.
        """
        if len(self._running) >= self._limit:
            raise ClickHouseError(
                202, "TOO_MANY_SIMULTANEOUS_QUERIES", f"Too many simultaneous queries. Maximum: {self._limit}"
            )
        if query_id in self._running:
            raise ClickHouseError(
                216,
                "QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING",
                f"Query with id = {query_id} is already running",
            )
        marker = query_id if safe_option(query_id) else f"query:{next(self._numbers)}"
        self._running[query_id] = _Running(query_id, marker)
        try:
            yield marker
        finally:
            del self._running[query_id]

    async def replace(self, query_id: str, *, wait: float) -> None:
        """Kill the query of this id, if one runs, and return when it has gone.

        Args:
            wait: seconds to wait for that at most.

        Raises:
            ClickHouseError: it has not gone by then.
        """
        one = self._running.get(query_id)
        if one is None:
            return
        try:
            async with asyncio.timeout(wait):
                await self._kill_until_gone([one])
        except TimeoutError as error:
            message = f"Query with id = {query_id} is already running and can't be stopped"
            raise ClickHouseError(216, "QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING", message) from error

    def marker(self, query_id: str) -> str:
        """The marker of a running query; the id itself when none of this id runs. From any thread."""
        running = self._running.get(query_id)
        return running.marker if running else query_id

    def query_id(self, marker: str) -> str:
        """The client's id of a running query; the marker itself when it has ended. From any thread."""
        return next((one.query_id for one in list(self._running.values()) if one.marker == marker), marker)

    def runs(self, marker: str) -> bool:
        """Whether a query of this marker runs. From any thread."""
        return any(one.marker == marker for one in list(self._running.values()))

    def pursue(self, markers: Collection[str], *, wait: float) -> None:
        """Kill these again and again until they have gone. From a worker thread.

        Args:
            wait: seconds to wait for that at most; the rest is done without waiting.
        """
        begun = asyncio.run_coroutine_threadsafe(self._pursue(markers), self._loop)
        if wait:
            with suppress(TimeoutError):
                begun.result(wait)

    async def _pursue(self, markers: Collection[str]) -> None:
        targets = [one for one in self._running.values() if one.marker in markers]
        if targets:
            task = asyncio.create_task(self._kill_until_gone(targets))
            self._pursuits.add(task)
            task.add_done_callback(self._pursuits.discard)
            await asyncio.shield(task)

    async def _kill_until_gone(self, targets: list[_Running]) -> None:
        pause = 0.02
        while targets := [one for one in targets if self._running.get(one.query_id) is one]:
            await asyncio.sleep(pause)
            pause = min(1.0, 1.5 * pause)
            for one in targets:
                if self._running.get(one.query_id) is one:
                    await self.kill(one.marker)

    async def kill(self, marker: str) -> None:
        """Ask the engine to end a query. Returns when it was asked, not when it ended."""
        await asyncio.get_running_loop().run_in_executor(self._control, self._kill, marker)

    def _kill(self, marker: str) -> None:
        with suppress(*ENGINE_ERRORS):
            connection = self._engine.connect({})
            try:
                connection.query(f"KILL QUERY WHERE {MARKER} = {quote_string(marker)} ASYNC")
            finally:
                connection.close()

    async def kill_all(self) -> None:
        """Ask the engine to end everything that runs."""
        for one in list(self._running.values()):
            await self.kill(one.marker)

    def close(self) -> None:
        """Stop the control threads."""
        for task in self._pursuits:
            task.cancel()
        self._control.shutdown(wait=True)
