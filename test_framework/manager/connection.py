"""The connection that tests get: asyncpg's methods, usable from any event loop, kept open from test to test.

The real connection lives in the broker's loop. It costs a tenth of a millisecond per statement to go there, and 4 ms
to connect anew in every test's own loop.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Callable, Coroutine, Iterable, Sequence
from typing import Any, Protocol, TypeVar

from test_framework.manager.cursors import BridgedCursorFactory, BridgedStatement, BridgedTransaction
from test_framework.manager.hop import Elsewhere, hop, needs_loop
from test_framework.manager.streams import local_callback, local_output, local_rows, local_source

__all__ = ["BridgedConnection", "Inner"]

# pytest shows the user's line, not ours; --full-trace shows all.
__tracebackhide__ = True

T = TypeVar("T")

_INSTEAD = "postgres_dsn for a connection of your own"
_TOO_LONG = "no answer in time; raise TEST_QUERY_TIMEOUT, or give this statement more by timeout=…"


class Inner(Protocol):
    """Gives the real connection, in the broker's loop, ready for this test."""

    async def __call__(self) -> Any: ...


class BridgedConnection:
    """A PostgreSQL connection of the test's own. Its methods are asyncpg's; so are its errors.

    Made without connecting: the first statement does. Like any asyncpg connection it does one thing at a time.
    """

    def __init__(self, elsewhere: Elsewhere, inner: Inner) -> None:
        self._elsewhere = elsewhere
        self._inner = inner
        self._callbacks: dict[tuple[str, Any], Callable[..., None]] = {}

    def _call(self, name: str, work: Callable[[Any], Awaitable[T]]) -> Coroutine[Any, Any, T]:
        needs_loop(f"real_postgres.{name}()", _INSTEAD)
        return self._there(work)

    def _there(self, work: Callable[[Any], Awaitable[T]]) -> Coroutine[Any, Any, T]:
        async def there() -> T:
            inner = await self._inner()
            try:
                return await work(inner)
            except TimeoutError as error:
                error.add_note(_TOO_LONG)
                raise

        return hop(self._elsewhere, there)

    def execute(self, query: str, *args: Any, timeout: float | None = None) -> Coroutine[Any, Any, str]:
        """Run one statement, or a script without arguments; the last command's tag."""
        return self._call("execute", lambda it: it.execute(query, *args, timeout=timeout))

    def executemany(
        self, command: str, args: Iterable[Sequence[Any]], *, timeout: float | None = None
    ) -> Coroutine[Any, Any, None]:
        """Run one statement for every sequence of arguments."""
        return self._call("executemany", lambda it: it.executemany(command, args, timeout=timeout))

    def fetch(self, query: str, *args: Any, **options: Any) -> Coroutine[Any, Any, list[Any]]:
        """All rows as records."""
        return self._call("fetch", lambda it: it.fetch(query, *args, **options))

    def fetchrow(self, query: str, *args: Any, **options: Any) -> Coroutine[Any, Any, Any]:
        """The first row, or ``None``."""
        return self._call("fetchrow", lambda it: it.fetchrow(query, *args, **options))

    def fetchval(self, query: str, *args: Any, **options: Any) -> Coroutine[Any, Any, Any]:
        """One value of the first row, or ``None``."""
        return self._call("fetchval", lambda it: it.fetchval(query, *args, **options))

    def fetchmany(self, query: str, args: Iterable[Sequence[Any]], **options: Any) -> Coroutine[Any, Any, list[Any]]:
        """The rows of one statement run for every sequence of arguments."""
        return self._call("fetchmany", lambda it: it.fetchmany(query, args, **options))

    def transaction(self, **options: Any) -> BridgedTransaction:
        """A transaction block: ``async with``, or ``start()``, ``commit()``, ``rollback()``."""
        return BridgedTransaction(lambda it: it.transaction(**options), lambda work: self._call("transaction", work))

    def cursor(self, query: str, *args: Any, **options: Any) -> BridgedCursorFactory:
        """A cursor: iterate over it, or await it to move by hand."""
        return BridgedCursorFactory(
            lambda it: it.cursor(query, *args, **options),
            lambda work: self._call("cursor", work),
            options.get("prefetch"),
        )

    def prepare(self, query: str, **options: Any) -> Coroutine[Any, Any, BridgedStatement]:
        """A prepared statement."""

        async def work(it: Any) -> BridgedStatement:
            return BridgedStatement(await it.prepare(query, **options), lambda each: self._call("prepare", each))

        return self._call("prepare", work)

    def copy_from_table(self, table_name: str, *, output: Any, **options: Any) -> Coroutine[Any, Any, str]:
        """Copy a table to a file, a file object or a coroutine function."""
        target = local_output(output)
        return self._call("copy_from_table", lambda it: it.copy_from_table(table_name, output=target, **options))

    def copy_from_query(self, query: str, *args: Any, output: Any, **options: Any) -> Coroutine[Any, Any, str]:
        """Copy the rows of a query to a file, a file object or a coroutine function."""
        target = local_output(output)
        return self._call("copy_from_query", lambda it: it.copy_from_query(query, *args, output=target, **options))

    def copy_to_table(self, table_name: str, *, source: Any, **options: Any) -> Coroutine[Any, Any, str]:
        """Copy a file, a file object or an asynchronous iterable of bytes into a table."""
        origin = local_source(source)
        return self._call("copy_to_table", lambda it: it.copy_to_table(table_name, source=origin, **options))

    def copy_records_to_table(
        self, table_name: str, *, records: Iterable[Any] | AsyncIterable[Any], **options: Any
    ) -> Coroutine[Any, Any, str]:
        """Copy records into a table, the fastest way there is."""
        rows = local_rows(records)
        return self._call(
            "copy_records_to_table", lambda it: it.copy_records_to_table(table_name, records=rows, **options)
        )

    def add_listener(self, channel: str, callback: Callable[..., Any]) -> Coroutine[Any, Any, None]:
        """Call ``callback(connection, pid, channel, payload)`` in this event loop for every notification."""
        wrapped = self._callbacks.setdefault((channel, callback), local_callback(callback, self))
        return self._call("add_listener", lambda it: it.add_listener(channel, wrapped))

    def remove_listener(self, channel: str, callback: Callable[..., Any]) -> Coroutine[Any, Any, None]:
        """Undo :meth:`add_listener`."""
        wrapped = self._callbacks.pop((channel, callback), callback)
        return self._call("remove_listener", lambda it: it.remove_listener(channel, wrapped))

    def set_type_codec(self, typename: str, **options: Any) -> Coroutine[Any, Any, None]:
        """Encode and decode a type; for this test alone."""
        return self._call("set_type_codec", lambda it: it.set_type_codec(typename, **options))

    def set_builtin_type_codec(self, typename: str, **options: Any) -> Coroutine[Any, Any, None]:
        """Use one of asyncpg's own codecs for a type; for this test alone."""
        return self._call("set_builtin_type_codec", lambda it: it.set_builtin_type_codec(typename, **options))

    def reset_type_codec(self, typename: str, **options: Any) -> Coroutine[Any, Any, None]:
        """Undo :meth:`set_type_codec`."""
        return self._call("reset_type_codec", lambda it: it.reset_type_codec(typename, **options))

    def reload_schema_state(self) -> Coroutine[Any, Any, None]:
        """Forget what is known about types, after DDL from elsewhere."""
        return self._call("reload_schema_state", lambda it: it.reload_schema_state())

    def close(self, *, timeout: float | None = None) -> Coroutine[Any, Any, None]:
        """Refuse further statements. The real connection goes on, for the rollback."""
        return self._call("close", lambda it: it.close(timeout=timeout))

    def reset(self, *, timeout: float | None = None) -> Coroutine[Any, Any, None]:
        """Close open blocks and undo what was SET."""
        return self._call("reset", lambda it: it.reset(timeout=timeout))

    def terminate(self) -> None:
        """As :meth:`close`, at once."""
        self._now(lambda it: it.terminate())

    def is_closed(self) -> bool:
        return bool(self._now(lambda it: it.is_closed()))

    def is_in_transaction(self) -> bool:
        """Whether a block of the test's own is open; the one that isolates the test does not count."""
        return bool(self._now(lambda it: it.is_in_transaction()))

    def get_server_pid(self) -> int:
        return int(self._now(lambda it: it.get_server_pid()))

    def get_server_version(self) -> Any:
        return self._now(lambda it: it.get_server_version())

    def get_settings(self) -> Any:
        return self._now(lambda it: it.get_settings())

    def _now(self, look: Callable[[Any], T]) -> T:
        """Look at the real connection from where nothing can be awaited."""

        async def there() -> T:
            return look(await self._inner())

        return self._elsewhere.run(there())
