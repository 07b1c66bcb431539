"""The queries that run now: by the client's id, with the marker under which the engine knows them."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager, suppress

from test_framework.embedded_clickhouse.engine import Engine, safe_option
from test_framework.embedded_clickhouse.errors import ENGINE_ERRORS, ClickHouseError
from test_framework.embedded_clickhouse.settings import quote_string

__all__ = ["Registry"]


class Registry:
    """Counts and names the running queries; kills them on request. Used from the event loop.

    Args:
        limit: above it a query is refused.
    """

    def __init__(self, engine: Engine, *, limit: int) -> None:
        self._engine = engine
        self._limit = limit
        self._running: dict[str, str] = {}
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
        self._running[query_id] = marker
        try:
            yield marker
        finally:
            del self._running[query_id]

    def marker(self, query_id: str) -> str:
        """The marker of a running query; the id itself when none of this id runs."""
        return self._running.get(query_id, query_id)

    def query_id(self, marker: str) -> str:
        """The client's id of a running query; the marker itself when it has ended."""
        return next((query_id for query_id, one in list(self._running.items()) if one == marker), marker)

    async def kill(self, marker: str) -> None:
        """Ask the engine to end a query. Returns when it was asked, not when it ended."""
        await asyncio.get_running_loop().run_in_executor(self._control, self._kill, marker)

    def _kill(self, marker: str) -> None:
        column = f"Settings[{quote_string(self._engine.marker)}]"
        with suppress(*ENGINE_ERRORS):
            connection = self._engine.connect({})
            try:
                connection.query(f"KILL QUERY WHERE {column} = {quote_string(marker)} ASYNC")
            finally:
                connection.close()

    async def kill_all(self) -> None:
        """Ask the engine to end everything that runs."""
        for marker in list(self._running.values()):
            await self.kill(marker)

    def close(self) -> None:
        """Stop the control threads."""
        self._control.shutdown(wait=True)
