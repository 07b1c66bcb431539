"""A connection that looks like asyncpg's and whose work is rolled back at the end of a test."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any, Self, TypeVar

import asyncpg

from test_framework.endpoints import PostgresEndpoint
from test_framework.services.asking import ask_server
from test_framework.services.postgres.client import close, diagnose, endpoint_dsn
from test_framework.services.postgres.databases import Connection
from test_framework.services.postgres.patience import patiently
from test_framework.services.postgres.transaction_blocks import IsolatedStatement, IsolatedTransaction
from test_framework.services.postgres.transaction_control import Kind, is_read_only, isolation_level, kind_of, split
from test_framework.services.postgres.transaction_listeners import Listeners
from test_framework.services.postgres.transaction_scope import Scope, impossible

__all__ = ["IsolatedConnection", "IsolatedStatement", "IsolatedTransaction"]

T = TypeVar("T")

APPLICATION = "test-framework:test"
_PASSED = frozenset({"copy_from_table", "copy_to_table", "copy_records_to_table"})
# What these set stays on the connection, and no rollback removes it.
_TAINTING = frozenset(
    {
        "add_log_listener",
        "add_query_logger",
        "add_termination_listener",
        "set_builtin_type_codec",
        "set_type_codec",
    }
)


class IsolatedConnection:
    """asyncpg's methods, in the isolation of one test.

    On a database that the test owns (``isolation="database"``) everything is passed on as it is. In a transaction,
    every statement behaves as it would by itself on a plain connection: one that fails is undone alone,
    ``transaction()`` opens a block, ``SET LOCAL`` and deferred constraints end with it. What cannot work there raises
    the server's own error with a hint. One task at a time, as with asyncpg.
    """

    def __init__(self, connection: Connection, endpoint: PostgresEndpoint, *, isolation: str, savepoints: bool) -> None:
        self._connection = connection
        self._scope = Scope(connection, savepoints=savepoints)
        self._listeners = Listeners(endpoint, self)
        self._isolation = isolation
        self._manual = False  # a block opened by the text BEGIN
        self._busy = False
        self._tainted = False
        self._closed = False

    @classmethod
    async def open(
        cls,
        endpoint: PostgresEndpoint,
        *,
        timeout: float,
        query_timeout: float | None = None,
        savepoints: bool = True,
        isolation: str = "transaction",
    ) -> Self:
        """Connect within ``timeout`` seconds.

        Args:
            query_timeout: seconds for each statement that names none of its own; ``None``: as long as it takes.
            savepoints: in a transaction, a failing statement is undone by itself.
            isolation: ``transaction``, or ``database`` for one that the test owns.

        Raises:
            ServiceUnavailable: or ``AuthenticationRefused``.
        """

        async def connect() -> Connection:
            return await asyncpg.connect(
                endpoint_dsn(endpoint),
                password=endpoint.password.reveal() or None,
                timeout=timeout,
                command_timeout=query_timeout,
                server_settings={"application_name": APPLICATION},
            )

        connection = await ask_server(
            "postgres", endpoint.address, timeout, lambda: patiently(connect, timeout / 2), diagnose
        )
        return cls(connection, endpoint, isolation=isolation, savepoints=savepoints)

    async def begin(self) -> None:
        """Start a test."""
        self._closed = self._manual = self._busy = self._tainted = False
        if self._isolation == "transaction":
            await self._scope.begin()

    async def rollback(self) -> bool:
        """End a test. ``False`` when the connection cannot serve another one: something may have stayed."""
        await self._listeners.close()
        try:
            return self._isolation == "transaction" and await self._scope.end() and not self._tainted
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
            return False

    async def commit(self) -> None:
        """End a test and keep what it wrote."""
        await self._listeners.close()
        if self._scope.active:
            await self._scope.commit()

    async def aclose(self) -> None:
        """Close the connection, whatever the test left open."""
        await self._listeners.close()
        await close(self._connection)

    async def execute(self, query: str, *args: Any, timeout: float | None = None) -> str:
        if args or not self._scope.active:
            return await self._run(query, partial(self._connection.execute, query, *args, timeout=timeout), args)
        tag = ""
        for statement in split(query):
            call = partial(self._connection.execute, statement, timeout=timeout)
            controlled = await self._control(statement)
            tag = await self._run(statement, call) if controlled is None else controlled
        return tag

    async def executemany(self, command: str, args: Any, *, timeout: float | None = None) -> None:
        await self._run(command, partial(self._connection.executemany, command, args, timeout=timeout))

    async def fetch(self, query: str, *args: Any, **options: Any) -> list[Any]:
        return await self._run(query, partial(self._connection.fetch, query, *args, **options), args)

    async def fetchmany(self, query: str, args: Any, **options: Any) -> list[Any]:
        return await self._run(query, partial(self._connection.fetchmany, query, args, **options))

    async def fetchrow(self, query: str, *args: Any, **options: Any) -> Any:
        return await self._run(query, partial(self._connection.fetchrow, query, *args, **options), args)

    async def fetchval(self, query: str, *args: Any, **options: Any) -> Any:
        return await self._run(query, partial(self._connection.fetchval, query, *args, **options), args)

    async def copy_from_query(self, query: str, *args: Any, **options: Any) -> str:
        return await self._run(query, partial(self._connection.copy_from_query, query, *args, **options), args)

    async def prepare(self, query: str, **options: Any) -> Any:
        statement = await self._run(query, partial(self._connection.prepare, query, **options))
        return IsolatedStatement(statement, self) if self._scope.active else statement

    def cursor(self, query: str, *args: Any, **options: Any) -> Any:
        """As asyncpg's: only inside a block."""
        self._check_open()
        self.check_block()
        return self._connection.cursor(query, *args, **options)

    def transaction(self, *, isolation: str | None = None, readonly: bool = False, deferrable: bool = False) -> Any:
        """A block: ``async with connection.transaction()``."""
        self._check_open()
        if not self._scope.active:
            return self._connection.transaction(isolation=isolation, readonly=readonly, deferrable=deferrable)  # type: ignore[arg-type]
        if isolation not in (None, "read_committed") or deferrable:
            raise impossible(f"a transaction with the isolation level {isolation or 'deferrable'}")
        return IsolatedTransaction(self, readonly=readonly)

    def is_in_transaction(self) -> bool:
        """Whether a block of the test's own is open."""
        return self._scope.depth > 0 if self._scope.active else self._connection.is_in_transaction()

    def is_closed(self) -> bool:
        return self._closed or self._connection.is_closed()

    async def close(self, *, timeout: float | None = None) -> None:
        """For the test it is closed; the connection itself is still needed for the rollback."""
        del timeout
        self._closed = True

    def terminate(self) -> None:
        self._closed = True

    async def reset(self, *, timeout: float | None = None) -> None:
        """Close open blocks and undo what was SET, as asyncpg's does."""
        if not self._scope.active:
            await self._connection.reset(timeout=timeout)
            return
        if self._scope.depth:
            await self.leave_block(1, keep=False)
        self._manual = False
        await self.execute("SELECT pg_advisory_unlock_all()", timeout=timeout)
        await self.execute("RESET ALL", timeout=timeout)

    async def add_listener(self, channel: str, callback: Any) -> None:
        """In a transaction the server delivers nothing, so a second connection listens."""
        self._check_open()
        if self._scope.active:
            await self._listeners.add(channel, callback)
        else:
            await self._connection.add_listener(channel, callback)

    async def remove_listener(self, channel: str, callback: Any) -> None:
        if self._scope.active:
            await self._listeners.remove(channel, callback)
        else:
            await self._connection.remove_listener(channel, callback)

    async def run_prepared(self, query: str, call: Callable[[], Awaitable[T]], args: tuple[Any, ...]) -> T:
        """One run of a prepared statement."""
        return await self._run(query, call, args)

    async def _run(self, query: str | None, call: Callable[[], Awaitable[T]], args: tuple[Any, ...] = ()) -> T:
        """One statement."""
        self._check_open()
        if not self._scope.active:
            return await call()
        kind = kind_of(query) if query is not None else Kind.PLAIN
        if kind in (Kind.BEGIN, Kind.COMMIT, Kind.ROLLBACK, Kind.PREPARE):
            raise impossible(str(query).strip())
        self._tainted |= kind is Kind.SESSION
        with self._exclusive():
            result = await self._scope.run(query, call)
        if kind is Kind.NOTIFY and query is not None:
            await self._listeners.notify(query, args, later=self._scope.depth > 0)
        return result

    async def _control(self, query: str) -> str | None:
        """Carry out a statement about transactions as a block of the test's own; its tag, or ``None``: another one."""
        kind = kind_of(query)
        if kind is Kind.BEGIN:
            return await self._begin_block(query)
        if kind in (Kind.COMMIT, Kind.ROLLBACK):
            return await self._end_block(query, keep=kind is Kind.COMMIT)
        if kind is Kind.SAVEPOINT and not self._scope.depth:
            raise asyncpg.NoActiveSQLTransactionError(
                f"{query.split()[0].upper()} can only be used in transaction blocks"
            )
        return None

    async def _begin_block(self, query: str) -> str:
        if level := isolation_level(query):
            raise impossible(f"a transaction with the isolation level {level}")
        if not self._scope.depth:  # else the server would warn that there is one already
            await self.enter_block(readonly=is_read_only(query))
            self._manual = True
        return "BEGIN"

    async def _end_block(self, query: str, *, keep: bool) -> str:
        if self._scope.depth and not self._manual:
            raise impossible(f"{query.strip()} inside of transaction()")
        kept = keep
        if self._manual:
            self._manual = False
            kept = await self.leave_block(1, keep=keep)
        return "COMMIT" if kept else "ROLLBACK"

    async def enter_block(self, *, readonly: bool) -> int:
        """Open a block; its number."""
        self._check_open()
        with self._exclusive():
            await self._scope.enter(readonly=readonly)
        return self._scope.depth

    async def leave_block(self, depth: int, *, keep: bool) -> bool:
        """Close the block ``depth`` and those in it. Whether its effects stay."""
        with self._exclusive():
            kept = await self._scope.leave(depth, keep=keep)
        if depth == 1:
            await self._listeners.block_ended(kept=kept)
        return kept

    def check_block(self) -> None:
        """Raise what asyncpg raises for a cursor outside of a block."""
        if self._scope.active and not self._scope.depth:
            raise asyncpg.NoActiveSQLTransactionError("cursor cannot be created outside of a transaction")

    def _check_open(self) -> None:
        if self._closed:
            raise asyncpg.InterfaceError("connection is closed")
        if self._connection.is_closed():  # by the server, which the driver would tell in the same words
            raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")

    @contextlib.contextmanager
    def _exclusive(self) -> Iterator[None]:
        if self._busy:
            raise asyncpg.InterfaceError("cannot perform operation: another operation is in progress")
        self._busy = True
        try:
            yield
        finally:
            self._busy = False

    def __getattr__(self, name: str) -> Any:
        """Everything else of asyncpg's connection."""
        if name.startswith("_"):
            raise AttributeError(name)
        found = getattr(self._connection, name)
        if name in _PASSED:
            return lambda *args, **options: self._run(None, partial(found, *args, **options))
        self._tainted |= name in _TAINTING
        return found
