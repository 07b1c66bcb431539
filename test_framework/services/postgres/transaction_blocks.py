"""asyncpg's transactions and prepared statements, for a connection whose work is rolled back."""

from __future__ import annotations

from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import asyncpg

if TYPE_CHECKING:
    from test_framework.services.postgres.transaction import IsolatedConnection

__all__ = ["IsolatedStatement", "IsolatedTransaction"]


class IsolatedTransaction:
    """A block of the test's own: asyncpg's ``Transaction``, as a savepoint."""

    def __init__(self, connection: IsolatedConnection, *, readonly: bool) -> None:
        self._connection = connection
        self._readonly = readonly
        self._depth = 0
        self._managed = False
        self._ended = ""

    async def start(self) -> None:
        """Open it."""
        if self._depth:
            raise asyncpg.InterfaceError("cannot start; the transaction is already started")
        self._depth = await self._connection.enter_block(readonly=self._readonly)

    async def commit(self) -> None:
        """Close it and keep its effects."""
        self._check("commit")
        await self._close(keep=True)

    async def rollback(self) -> None:
        """Close it and undo its effects."""
        self._check("rollback")
        await self._close(keep=False)

    async def _close(self, *, keep: bool) -> None:
        self._ended = "committed" if keep else "rolled back"
        await self._connection.leave_block(self._depth, keep=keep)

    def _check(self, action: str) -> None:
        if self._managed:
            raise asyncpg.InterfaceError(f"cannot manually {action} from within an `async with` block")
        if not self._depth:
            raise asyncpg.InterfaceError(f"cannot {action}; the transaction is not yet started")
        if self._ended:
            raise asyncpg.InterfaceError(f"cannot {action}; the transaction is already {self._ended}")

    async def __aenter__(self) -> Self:
        if self._managed:
            raise asyncpg.InterfaceError("cannot enter context: already in an `async with` block")
        self._managed = True
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._managed = False
        await self._close(keep=kind is None)


class IsolatedStatement:
    """asyncpg's ``PreparedStatement``; each of its runs is a statement by itself."""

    def __init__(self, statement: Any, connection: IsolatedConnection) -> None:
        self._statement = statement
        self._connection = connection

    def cursor(self, *args: Any, **options: Any) -> Any:
        self._connection.check_block()
        return self._statement.cursor(*args, **options)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._statement, name)
        if name in ("executemany", "explain", "fetch", "fetchmany", "fetchrow", "fetchval"):
            return partial(self._run, found)
        return found

    async def _run(self, method: Any, *args: Any, **options: Any) -> Any:
        query = self._statement.get_query()
        return await self._connection.run_prepared(query, partial(method, *args, **options), args)
