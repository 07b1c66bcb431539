"""Clients that belong to an event loop: opened in the loop that uses them, closed with it.

Every runner, pytest-asyncio's and anyio's included, ends a loop by closing its asynchronous generators. So one
generator per loop is all it takes to hear of the end while something can still be awaited there.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import warnings
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Generic, TypeVar

__all__ = ["PerLoop", "close_softly", "forget", "is_idle", "when_loop_ends"]

T = TypeVar("T")
Closer = Callable[[], Awaitable[object]]

# What closing one client may take: its server may be the thing that hangs.
_CLOSING = 2.0


class _Keeper:
    def __init__(self) -> None:
        self.closers: dict[int, Closer] = {}
        self._generator: AsyncGenerator[None, None] | None = None

    async def begin(self, loop: asyncio.AbstractEventLoop) -> None:
        self._generator = self._keep(loop)
        await self._generator.__anext__()

    async def _keep(self, loop: asyncio.AbstractEventLoop) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            _keepers.pop(loop, None)
            with warnings.catch_warnings():
                # Clients that use asynchronous generators to close begin them while the loop ends those it knows.
                warnings.filterwarnings("ignore", "asynchronous generator .* was scheduled", ResourceWarning)
                for closer in list(reversed(self.closers.values())):
                    await close_softly(closer)


_keepers: dict[asyncio.AbstractEventLoop, _Keeper] = {}


async def close_softly(closer: Closer) -> None:
    """A client that does not close is no reason to fail whatever ends here."""
    with contextlib.suppress(Exception):
        async with asyncio.timeout(_CLOSING):
            await closer()


async def when_loop_ends(key: int, closer: Closer) -> None:
    """Await ``closer()`` when the running loop ends; a later call with the same ``key`` replaces an earlier one."""
    loop = asyncio.get_running_loop()
    keeper = _keepers.get(loop)
    if keeper is None:
        keeper = _keepers[loop] = _Keeper()
        await keeper.begin(loop)
    keeper.closers[key] = closer


def forget(key: int) -> None:
    """Nothing is left to do for ``key`` when the running loop ends."""
    keeper = _keepers.get(asyncio.get_running_loop())
    if keeper is not None:
        keeper.closers.pop(key, None)


def forget_closed_loops() -> None:
    """Let go of loops that were closed without being asked to end properly."""
    for loop in [loop for loop in _keepers if loop.is_closed()]:
        _keepers.pop(loop)


class PerLoop(Generic[T]):
    """One ``T`` for each event loop that asks for it.

    Args:
        opened: makes one, in the running loop.
        closed: closes one, in the loop that made it.
    """

    def __init__(self, opened: Callable[[], Awaitable[T]], closed: Callable[[T], Awaitable[object]]) -> None:
        self._open = opened
        self._close = closed
        self._made: dict[asyncio.AbstractEventLoop, T] = {}

    async def get(self) -> T:
        """The running loop's own."""
        loop = asyncio.get_running_loop()
        made = self._made.get(loop)
        if made is None:
            made = await self._open()
            if (other := self._made.get(loop)) is not None:  # two tasks asked at once
                await close_softly(lambda: self._close(made))
                return other
            self._made[loop] = made
            await when_loop_ends(id(self), lambda: self._end(loop))
        return made

    async def _end(self, loop: asyncio.AbstractEventLoop) -> None:
        made = self._made.pop(loop, None)
        forget(id(self))
        if made is not None:
            await self._close(made)

    async def aclose(self) -> None:
        """Close the running loop's own. The next :meth:`get` opens another."""
        await self._end(asyncio.get_running_loop())

    def close(self) -> None:
        """Close all of them, each in its own loop. Called where no loop runs; what cannot be closed is let go."""
        abandoned = False
        for loop in list(self._made):
            if loop.is_closed():
                del self._made[loop]
                abandoned = True
            elif is_idle(loop):
                loop.run_until_complete(close_softly(lambda loop=loop: self._end(loop)))  # type: ignore[misc]
        if abandoned:
            _let_go()


def is_idle(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether ``loop`` can be made to run something from here."""
    if loop.is_closed() or loop.is_running():
        return False
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return True
    return False


def _let_go() -> None:
    """Somebody closed a loop over open connections; the test that did so must not fail for our sockets."""
    forget_closed_loops()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
