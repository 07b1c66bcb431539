"""Several who ask the same are answered by one question."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Generic, TypeVar

__all__ = ["Together"]

T = TypeVar("T")


class Together(Generic[T]):
    """Collects names while a question is on its way, and asks the next one for all of them.

    An answer is never older than the call that gets it. Lives on one event loop.

    Args:
        ask: brings a value for each name.
    """

    def __init__(self, ask: Callable[[Sequence[str]], Awaitable[Mapping[str, T]]]) -> None:
        self._ask = ask
        self._waiting: dict[str, asyncio.Future[T]] = {}
        self._asking: asyncio.Task[None] | None = None

    async def __call__(self, name: str) -> T:
        """The value for ``name``. Raises what ``ask`` raises."""
        reply = self._waiting.get(name)
        if reply is None:
            reply = self._waiting[name] = asyncio.get_running_loop().create_future()
        if self._asking is None:
            self._asking = asyncio.get_running_loop().create_task(self._work())
        return await asyncio.shield(reply)

    async def _work(self) -> None:
        try:
            while self._waiting:
                waiting, self._waiting = self._waiting, {}
                await self._answer(waiting)
        finally:
            self._asking = None

    async def _answer(self, waiting: Mapping[str, asyncio.Future[T]]) -> None:
        try:
            found = await self._ask(list(waiting))
        except Exception as error:
            for reply in waiting.values():
                reply.set_exception(error)
                reply.exception()  # who asked may have gone
        else:
            for name, reply in waiting.items():
                reply.set_result(found[name])
