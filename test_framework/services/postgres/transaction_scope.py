"""Savepoints that make one transaction look like a connection: each statement by itself, blocks inside blocks.

Three savepoints are ours. ``tf_start`` proves at the end that the transaction is still the one that was begun;
``tf_statement`` is what a failing statement, or a block of the test's own, is rolled back to; ``tf_block_n`` are blocks
inside such a block.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, TypeVar

import asyncpg

from test_framework.services.postgres.databases import Connection
from test_framework.services.postgres.transaction_control import MARKER, changes_schema, local_settings

__all__ = ["Scope", "explained", "impossible"]

T = TypeVar("T")

_BEGIN = "BEGIN; SAVEPOINT tf_start; SAVEPOINT tf_statement"
_BEGIN_PLAIN = "BEGIN; SAVEPOINT tf_start"
_RENEW = "RELEASE SAVEPOINT tf_statement; SAVEPOINT tf_statement"
_UNDO = "ROLLBACK TO SAVEPOINT tf_statement"
_CHECK = "SAVEPOINT tf_check; SET CONSTRAINTS ALL IMMEDIATE; ROLLBACK TO SAVEPOINT tf_check; RELEASE SAVEPOINT tf_check"
# Fails when the transaction was ended behind our back; then removes what no rollback removes.
_END = (
    "ROLLBACK TO SAVEPOINT tf_start; ROLLBACK; SELECT pg_catalog.pg_advisory_unlock_all(); CLOSE ALL; DISCARD SEQUENCES"
)
_DEFERRABLE = """
SELECT EXISTS (SELECT FROM pg_catalog.pg_constraint WHERE condeferrable)
    OR EXISTS (SELECT FROM pg_catalog.pg_trigger WHERE tgdeferrable AND NOT tgisinternal)
"""
_HINT = f"this test runs in a transaction that is rolled back; give it a database of its own: {MARKER}"
# Cannot run in a transaction; new enum value not committed; COMMIT inside a procedure; isolation level set too late.
_IMPOSSIBLE = {"25001", "55P04", "2D000", "25P01", "0B000"}


def impossible(what: str) -> asyncpg.PostgresError:
    """The error for what cannot be done inside the test's transaction."""
    error = asyncpg.ActiveSQLTransactionError(f"{what} cannot run inside the transaction of a test")
    error.hint = _HINT
    return error


def explained(error: asyncpg.PostgresError) -> asyncpg.PostgresError:
    """``error`` with a hint, where the reason is that we are inside a transaction."""
    if error.sqlstate in _IMPOSSIBLE and not error.hint:
        error.hint = _HINT
    return error


class _State(Enum):
    FRESH = "fresh"  # the savepoint is right here
    DIRTY = "dirty"  # something succeeded since
    FAILED = "failed"  # something failed since, or must have no effect


@dataclass
class _Block:
    savepoint: str
    locals: dict[str, str | None] = field(default_factory=dict)


class Scope:
    """The test's transaction on one connection.

    Args:
        savepoints: a statement that fails is undone by itself; without, it fails the rest of the test.
    """

    def __init__(self, connection: Connection, *, savepoints: bool) -> None:
        self._connection = connection
        self._savepoints = savepoints
        self._blocks: list[_Block] = []
        self._state = _State.FRESH
        self._deferrable: bool | None = None
        self._schema_changed = False
        self.active = False

    @property
    def depth(self) -> int:
        """How many blocks of the test's own are open."""
        return len(self._blocks)

    async def begin(self) -> None:
        if self._deferrable is None:
            self._deferrable = bool(await self._connection.fetchval(_DEFERRABLE))
        self._blocks.clear()
        await self._connection.execute(_BEGIN if self._savepoints else _BEGIN_PLAIN)
        self._state = _State.FRESH
        self.active = True

    async def end(self) -> bool:
        """Roll everything back. ``False`` when the transaction was not ours any more: something may have stayed."""
        self.active = False
        self._blocks.clear()
        try:
            await self._connection.execute(_END)
        except (asyncpg.InvalidSavepointSpecificationError, asyncpg.NoActiveSQLTransactionError):
            return False
        if self._schema_changed:
            self._schema_changed = False
            await self._connection.reload_schema_state()  # what was remembered may be about objects that are gone
        return True

    async def commit(self) -> None:
        """Keep everything, for somebody who wants to look at it."""
        self.active = False
        if self._state is _State.FAILED or self._blocks:
            await self._connection.execute(_UNDO)
        self._blocks.clear()
        await self._connection.execute("COMMIT")

    async def run(self, query: str | None, call: Callable[[], Awaitable[T]]) -> T:
        """``await call()`` as one statement on a plain connection would behave."""
        if query is not None:
            self._schema_changed |= changes_schema(query)
            self._deferrable = self._deferrable or "deferrable" in query.lower()
        local = local_settings(query) if query is not None else []
        if self._blocks:
            if local:
                await self._remember(local)
            return await self._explain(call)
        return await self._alone(call, keep=not local)

    async def _alone(self, call: Callable[[], Awaitable[T]], *, keep: bool) -> T:
        await self._renew()
        self._state = _State.FAILED  # until it is known to be well: a cancelled task must not leave a false idea
        try:
            result = await self._explain(call)
        except asyncpg.InvalidCachedStatementError:
            await self._renew()
            await self._connection.reload_schema_state()
            self._state = _State.FAILED
            result = await self._explain(call)
        if self._deferrable:
            await self._connection.execute(_CHECK)
        # Outside of a block, what is set for a transaction has no effect on the next statement.
        self._state = _State.DIRTY if keep else _State.FAILED
        return result

    async def _explain(self, call: Callable[[], Awaitable[T]]) -> T:
        try:
            return await call()
        except asyncpg.PostgresError as error:
            raise explained(error)  # noqa: B904 - it is the same error

    async def _renew(self) -> None:
        """Have a savepoint right here."""
        if not self._savepoints:
            return
        if self._state is not _State.FRESH:
            await self._connection.execute(_RENEW if self._state is _State.DIRTY else _UNDO)
            self._state = _State.FRESH

    async def enter(self, *, readonly: bool = False) -> None:
        """Open a block."""
        if self._blocks:
            name = f"tf_block_{len(self._blocks)}"
            await self._connection.execute(f"SAVEPOINT {name}")
        else:
            name = "tf_statement"
            if self._savepoints:
                await self._renew()
                self._state = _State.FAILED
            else:
                await self._connection.execute(f"SAVEPOINT {name}")
        self._blocks.append(_Block(name))
        if readonly:
            await self._connection.execute("SET TRANSACTION READ ONLY")

    async def leave(self, depth: int, *, keep: bool) -> bool:
        """Close the block number ``depth``, from 1, and those inside it. Whether its effects stay."""
        block = self._blocks[depth - 1]
        del self._blocks[depth - 1 :]
        if depth > 1:
            name = block.savepoint
            undo = "" if keep else f"ROLLBACK TO SAVEPOINT {name}; "
            await self._connection.execute(f"{undo}RELEASE SAVEPOINT {name}")
            return keep
        if not keep:
            await self._undo_block()
            return False
        return await self._commit_block(block)

    async def _commit_block(self, block: _Block) -> bool:
        try:
            if self._deferrable:
                await self._connection.execute(_CHECK)
            await self._connection.execute(_RENEW if self._savepoints else "RELEASE SAVEPOINT tf_statement")
        except asyncpg.InFailedSQLTransactionError:
            await self._undo_block()  # as COMMIT does after an error: it rolls back and says nothing
            return False
        except asyncpg.PostgresError as error:
            await self._undo_block()
            raise explained(error)  # noqa: B904 - it is the same error
        self._state = _State.FRESH
        if block.locals:
            await self._restore(block.locals)
        return True

    async def _undo_block(self) -> None:
        await self._connection.execute(_UNDO if self._savepoints else f"{_UNDO}; RELEASE SAVEPOINT tf_statement")
        self._state = _State.FRESH

    async def _remember(self, names: list[str]) -> None:
        """What a block sets for itself ends with it; a savepoint that is released would pass it on."""
        known = self._blocks[0].locals
        for name in names:
            if name not in known:
                known[name] = await self._setting(name)

    async def _setting(self, name: str) -> str | None:
        value: str | None = await self._connection.fetchval("SELECT pg_catalog.current_setting($1, true)", name)
        return value

    async def _restore(self, settings: dict[str, Any]) -> None:
        for name, value in settings.items():
            await self._connection.fetchval("SELECT pg_catalog.set_config($1, $2, false)", name, value or "")
        self._state = _State.DIRTY
