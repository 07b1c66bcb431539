"""Run a coroutine on the broker's loop and wait for it from any other loop, or from none."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol, TypeVar

from test_framework.errors import FrameworkError

__all__ = ["Elsewhere", "hop", "needs_loop"]

# pytest shows the user's line, not ours; --full-trace shows all.
__tracebackhide__ = True

T = TypeVar("T")


class Elsewhere(Protocol):
    """Whoever runs coroutines on a loop in another thread: the broker."""

    def submit(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Start ``work`` there; thread-safe, and does not wait."""
        ...

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run ``work`` there and block until it is done."""
        ...


def needs_loop(what: str, instead: str) -> asyncio.AbstractEventLoop:
    """The running loop.

    Raises:
        FrameworkError: there is none, because a plain ``def`` test is at work; the message names what to use instead.
    """
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        trio = sys.modules.get("trio")
        if trio is not None and trio.lowlevel.in_trio_run():
            raise FrameworkError(
                f"{what} was called in a test that runs on trio",
                cause="the drivers of all three services are made for asyncio",
                fix=f"let anyio run the test on asyncio (the fixture anyio_backend), or take {instead}",
            ) from None
        raise FrameworkError(
            f"{what} was called where no asyncio event loop runs",
            cause="it is asynchronous, and a plain def test (or another kind of loop) cannot await it",
            fix=f"make the test 'async def', or take {instead}",
        ) from None


async def hop(elsewhere: Elsewhere, work: Callable[[], Awaitable[T]]) -> T:
    """``await work()`` on the other loop, its result or exception here.

    When the caller is cancelled, so is ``work``, and the caller goes on only after ``work`` has cleaned up: whatever it
    used is then fit for the next one.
    """
    loop = asyncio.get_running_loop()
    reply: asyncio.Future[T] = loop.create_future()
    running: list[asyncio.Task[Any]] = []

    async def there() -> None:
        task = asyncio.current_task()
        assert task is not None
        running.append(task)
        try:
            result = await work()
        except BaseException as error:
            _post(loop, _fail, reply, error)
        else:
            _post(loop, _succeed, reply, result)

    elsewhere.submit(there())
    try:
        return await asyncio.shield(reply)
    except asyncio.CancelledError:
        if not reply.done():
            elsewhere.submit(_cancel(running))
            await _settle(reply)
        raise


async def _settle(reply: asyncio.Future[Any]) -> None:
    """Wait for the end of what was cancelled; a second cancellation ends the waiting."""
    await asyncio.wait([reply], timeout=5.0)
    if reply.done() and not reply.cancelled():
        reply.exception()  # fetched, or asyncio complains that nobody did


async def _cancel(running: list[asyncio.Task[Any]]) -> None:
    for task in running:
        task.cancel()


def _post(loop: asyncio.AbstractEventLoop, call: Callable[..., None], *arguments: Any) -> None:
    with contextlib.suppress(RuntimeError):  # the caller's loop is closed: nobody waits any more
        loop.call_soon_threadsafe(call, *arguments)


def _succeed(reply: asyncio.Future[T], result: T) -> None:
    if not reply.done():
        reply.set_result(result)


def _fail(reply: asyncio.Future[Any], error: BaseException) -> None:
    if reply.done():
        return
    if isinstance(error, asyncio.CancelledError):
        reply.cancel()
    elif isinstance(error, StopIteration):
        reply.set_exception(RuntimeError("StopIteration"))
    else:
        reply.set_exception(error)
