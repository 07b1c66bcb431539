"""What a test hands to its connection for later: sources, outputs and callbacks stay in the test's own loop."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine
from typing import Any, TypeVar

__all__ = ["local_callback", "local_output", "local_rows", "local_source"]

# pytest shows the user's line, not ours; --full-trace shows all.
__tracebackhide__ = True

T = TypeVar("T")


def _loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


async def _back(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, T]) -> T:
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, loop))


async def _each(source: AsyncIterable[T], loop: asyncio.AbstractEventLoop) -> AsyncIterator[T]:
    """Iterate here over what only ``loop`` can iterate."""
    iterator = aiter(source)
    done = object()

    async def following() -> Any:
        return await anext(iterator, done)

    while (item := await _back(loop, following())) is not done:
        yield item


def local_source(source: Any) -> Any:
    """A ``source`` of COPY. Paths and file objects are read wherever they are; an iterable is asked in its own loop."""
    loop = _loop()
    return _each(source, loop) if loop is not None and isinstance(source, AsyncIterable) else source


def local_rows(records: Any) -> Any:
    """The ``records`` of COPY, likewise."""
    return local_source(records)


def local_output(output: Any) -> Any:
    """An ``output`` of COPY; a coroutine function is called in its own loop."""
    loop = _loop()
    if loop is None or not inspect.iscoroutinefunction(output):
        return output

    async def write(data: bytes) -> None:
        await _back(loop, output(data))

    return write


def local_callback(callback: Callable[..., Any], connection: object) -> Callable[..., None]:
    """``callback`` as the real connection calls it: run in the loop it was made in, with ``connection`` in front."""
    loop = _loop()
    assert loop is not None  # the caller has made sure

    def run(arguments: tuple[Any, ...]) -> None:
        result = callback(connection, *arguments)
        if inspect.isawaitable(result):
            _pending.add(task := asyncio.ensure_future(result))
            task.add_done_callback(_pending.discard)

    def called(_: object, *arguments: Any) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(run, arguments)

    return called


_pending: set[asyncio.Future[Any]] = set()
