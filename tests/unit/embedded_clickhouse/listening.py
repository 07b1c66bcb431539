"""HTTP servers with an answer of a test's own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

__all__ = ["listening"]


@asynccontextmanager
async def listening(
    answer: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]], **options: Any
) -> AsyncIterator[int]:
    """A server on the loopback that ends an answer whose client has gone; its port. ``options`` are the library's."""
    runner = web.ServerRunner(web.Server(answer, handler_cancellation=True, **options))
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()
