"""What to do about a server that is just restarting, and about connections that broke with it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import asyncpg

from test_framework.waiting import Deadline, wait_until

__all__ = ["LOST", "is_lost", "patiently"]

T = TypeVar("T")

# Errors after which a connection is of no more use.
LOST = (
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    OSError,
)


def is_lost(error: BaseException, *, closed: bool) -> bool:
    """Whether ``error`` means that the connection, which is ``closed`` or does not know it yet, is gone."""
    return isinstance(error, LOST) and (closed or not isinstance(error, asyncpg.InterfaceError))


async def patiently(
    connect: Callable[[], Awaitable[T]],
    timeout: float,
    *,
    while_it_says: tuple[type[asyncpg.PostgresError], ...] = (asyncpg.CannotConnectNowError,),
) -> T:
    """``await connect()``, again and again while the server says that it is starting or recovering.

    Raises the driver's errors; one of ``while_it_says`` when it still says so after ``timeout`` seconds.
    """
    last: asyncpg.PostgresError | None = None

    async def attempt() -> tuple[T] | None:
        nonlocal last
        try:
            return (await connect(),)
        except while_it_says as error:
            last = error
            return None

    opened = await wait_until(attempt, Deadline.after(timeout))
    if opened is None:
        assert last is not None  # it was tried at least once
        raise last
    return opened[0]
