"""ClickHouse as a test sees it: one client for the whole process, in the broker's loop, and a database per test.

Opening a client of the driver costs 14 ms and four queries, a hop to another loop a tenth of one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from test_framework.endpoints import ClickHouseEndpoint
from test_framework.manager.hop import Elsewhere, hop, needs_loop
from test_framework.services.clickhouse.isolated import Parameters, execute, for_database, open_client, qualified_name

if TYPE_CHECKING:
    from clickhouse_connect.driver.asyncclient import AsyncClient
    from clickhouse_connect.driver.query import QueryResult

__all__ = ["ClickHouseClients", "IsolatedClickHouse"]

# pytest shows the user's line, not ours; --full-trace shows all.
__tracebackhide__ = True

T = TypeVar("T")


class ClickHouseClients:
    """The process's only client of each server. Everything but the constructor runs in the broker's loop."""

    def __init__(self, timeout: float, query_timeout: float) -> None:
        self._timeout = timeout
        self._query_timeout = query_timeout
        self._clients: dict[str, AsyncClient] = {}
        self._opening: asyncio.Lock | None = None

    async def get(self, endpoint: ClickHouseEndpoint) -> AsyncClient:
        """A client whose default database is the endpoint's."""
        if self._opening is None:
            self._opening = asyncio.Lock()
        async with self._opening:  # several tests of one process may ask at once
            if endpoint.base_url not in self._clients:
                self._clients[endpoint.base_url] = await open_client(
                    endpoint, timeout=self._timeout, query_timeout=self._query_timeout
                )
        return for_database(self._clients[endpoint.base_url], endpoint.database)

    async def aclose(self) -> None:
        while self._clients:
            _, client = self._clients.popitem()
            await client.close()


class IsolatedClickHouse:
    """A ClickHouse database of the test's own, holding the seeded tables.

    Works from any event loop. Rows come as tuples; whatever changes data is done when it returns. Errors are those of
    clickhouse-connect (``clickhouse_connect.driver.exceptions.DatabaseError``).

    Args:
        endpoint: gives the database, when the first statement needs it.
    """

    def __init__(
        self, elsewhere: Elsewhere, clients: ClickHouseClients, endpoint: Callable[[], ClickHouseEndpoint]
    ) -> None:
        self._elsewhere = elsewhere
        self._clients = clients
        self._endpoint = endpoint

    @property
    def database(self) -> str:
        """The database's name."""
        return self._endpoint().database

    def get_table_name(self, table: str) -> str:
        """``table`` with its database, quoted, for SQL that must not depend on the default database."""
        return qualified_name(self.database, table)

    def execute(self, sql: str, parameters: Parameters = None) -> Coroutine[Any, Any, list[tuple[Any, ...]]]:
        """Run any statement; its rows, or an empty list.

        ``parameters`` is a mapping for ``{name:Type}`` or ``%(name)s``, or the rows of an ``INSERT … VALUES``.
        """
        return self._call("execute", lambda client: execute(client, sql, parameters))

    def query(self, sql: str, parameters: Parameters = None, **options: Any) -> Coroutine[Any, Any, QueryResult]:
        """Run a query; clickhouse-connect's result with ``result_rows``, ``column_names`` and ``named_results()``."""
        return self._call("query", lambda client: client.query(sql, parameters=parameters, **options))  # type: ignore[arg-type]

    def command(self, sql: str, parameters: Parameters = None, **options: Any) -> Coroutine[Any, Any, Any]:
        """Run a statement that brings one value or none."""
        return self._call("command", lambda client: client.command(sql, parameters=parameters, **options))  # type: ignore[arg-type]

    def insert(
        self, table: str, rows: Sequence[Sequence[Any]], column_names: str | Sequence[str] = "*", **options: Any
    ) -> Coroutine[Any, Any, int]:
        """Insert ``rows`` in one block; how many were written."""

        async def work(client: AsyncClient) -> int:
            if not rows:
                return 0
            return (await client.insert(table, rows, column_names=column_names, **options)).written_rows

        return self._call("insert", work)

    def _call(self, name: str, work: Callable[[AsyncClient], Awaitable[T]]) -> Coroutine[Any, Any, T]:
        needs_loop(f"real_clickhouse.{name}()", "clickhouse_url for a client of your own")
        endpoint = self._endpoint()

        async def there() -> T:
            return await work(await self._clients.get(endpoint))

        return hop(self._elsewhere, there)
