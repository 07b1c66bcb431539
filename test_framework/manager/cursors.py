"""Transactions, cursors and prepared statements of a connection that lives in another loop."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator, Iterable, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

__all__ = ["BridgedCursor", "BridgedCursorFactory", "BridgedStatement", "BridgedTransaction"]

# pytest shows the user's line, not ours; --full-trace shows all.
__tracebackhide__ = True

T = TypeVar("T")
# Runs something there with the real connection, and brings back what it gave.
Call = Callable[[Callable[[Any], Awaitable[Any]]], Coroutine[Any, Any, Any]]
Maker = Callable[[Any], Any]

# As many rows as asyncpg's own iteration fetches ahead.
_PREFETCH = 50
_END = object()


class BridgedTransaction:
    """See asyncpg's ``Transaction``."""

    def __init__(self, make: Maker, call: Call) -> None:
        self._make = make
        self._call = call
        self._inner: Any = None

    async def start(self) -> None:
        """Begin the block."""

        async def work(connection: Any) -> None:
            if self._inner is None:
                self._inner = self._make(connection)
            await self._inner.start()

        await self._call(work)

    async def commit(self) -> None:
        """End the block and keep what it did, as far as the test's own isolation reaches."""
        await self._end("commit")

    async def rollback(self) -> None:
        """End the block and undo what it did."""
        await self._end("rollback")

    async def _end(self, how: str) -> None:
        async def work(connection: Any) -> None:
            if self._inner is None:
                self._inner = self._make(connection)  # it says itself that it was not started
            await getattr(self._inner, how)()

        await self._call(work)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._end("commit" if kind is None else "rollback")


class BridgedCursor:
    """See asyncpg's ``Cursor``."""

    def __init__(self, inner: Any, call: Call) -> None:
        self._inner = inner
        self._call = call

    async def fetch(self, n: int, *, timeout: float | None = None) -> list[Any]:
        """The next ``n`` rows."""
        rows: list[Any] = await self._call(lambda _: self._inner.fetch(n, timeout=timeout))
        return rows

    async def fetchrow(self, *, timeout: float | None = None) -> Any:
        """The next row, or ``None``."""
        return await self._call(lambda _: self._inner.fetchrow(timeout=timeout))

    async def forward(self, n: int, *, timeout: float | None = None) -> int:
        """Skip ``n`` rows; how many there were."""
        skipped: int = await self._call(lambda _: self._inner.forward(n, timeout=timeout))
        return skipped


class BridgedCursorFactory:
    """What ``cursor()`` gives: iterate over it, or await it."""

    def __init__(self, make: Maker, call: Call, prefetch: int | None) -> None:
        self._make = make
        self._call = call
        self._prefetch = prefetch or _PREFETCH

    def __await__(self) -> Generator[Any, None, BridgedCursor]:
        return self._cursor().__await__()

    async def _cursor(self) -> BridgedCursor:
        async def work(connection: Any) -> Any:
            return await self._make(connection)

        return BridgedCursor(await self._call(work), self._call)

    async def __aiter__(self) -> AsyncIterator[Any]:
        iterator: Any = None

        async def some(connection: Any) -> tuple[list[Any], bool]:
            nonlocal iterator
            if iterator is None:
                iterator = aiter(self._make(connection))
            rows: list[Any] = []
            while len(rows) < self._prefetch:
                row = await anext(iterator, _END)
                if row is _END:
                    return rows, True
                rows.append(row)
            return rows, False

        ended = False
        while not ended:
            rows, ended = await self._call(some)
            for row in rows:
                yield row


class BridgedStatement:
    """See asyncpg's ``PreparedStatement``."""

    def __init__(self, inner: Any, call: Call) -> None:
        self._inner = inner
        self._call = call

    async def fetch(self, *args: Any, **options: Any) -> list[Any]:
        """All rows as records."""
        rows: list[Any] = await self._call(lambda _: self._inner.fetch(*args, **options))
        return rows

    async def fetchrow(self, *args: Any, **options: Any) -> Any:
        """The first row, or ``None``."""
        return await self._call(lambda _: self._inner.fetchrow(*args, **options))

    async def fetchval(self, *args: Any, **options: Any) -> Any:
        """One value of the first row, or ``None``."""
        return await self._call(lambda _: self._inner.fetchval(*args, **options))

    async def fetchmany(self, args: Iterable[Sequence[Any]], **options: Any) -> list[Any]:
        """The rows for every sequence of arguments."""
        rows: list[Any] = await self._call(lambda _: self._inner.fetchmany(args, **options))
        return rows

    async def executemany(self, args: Iterable[Sequence[Any]], **options: Any) -> None:
        """Run it for every sequence of arguments."""
        await self._call(lambda _: self._inner.executemany(args, **options))

    async def explain(self, *args: Any, **options: Any) -> Any:
        """The server's plan for it."""
        return await self._call(lambda _: self._inner.explain(*args, **options))

    def cursor(self, *args: Any, **options: Any) -> BridgedCursorFactory:
        """A cursor over its rows."""
        return BridgedCursorFactory(lambda _: self._inner.cursor(*args, **options), self._call, options.get("prefetch"))

    def get_name(self) -> str:
        return str(self._inner.get_name())

    def get_query(self) -> str:
        return str(self._inner.get_query())

    def get_statusmsg(self) -> str:
        return str(self._inner.get_statusmsg())

    def get_parameters(self) -> Any:
        return self._inner.get_parameters()

    def get_attributes(self) -> Any:
        return self._inner.get_attributes()
