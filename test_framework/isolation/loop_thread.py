"""A daemon thread with an event loop of its own, so that tests of any colour and loop can ask the same broker."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

__all__ = ["LoopThread"]

T = TypeVar("T")


class LoopThread:
    """Starts at the first call. In a forked child it does nothing: the thread is not there, the sockets are ours."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def foreign(self) -> bool:
        """Whether this is a child forked after the thread's owner was made."""
        return os.getpid() != self._pid

    @property
    def started(self) -> bool:
        return self._loop is not None

    def submit(self, work: Coroutine[Any, Any, T], *, unwanted: Callable[[T], None] | None = None) -> Future[T]:
        """Run ``work`` there, to its end.

        Cancelling the future does not stop it: what it brings then goes to ``unwanted``.
        """
        reply: Future[T] = Future()
        self._ensure().call_soon_threadsafe(self._start, work, reply, unwanted)
        return reply

    def _start(self, work: Coroutine[Any, Any, T], reply: Future[T], unwanted: Callable[[T], None] | None) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)  # the loop itself holds tasks weakly
        task.add_done_callback(lambda done: self._finish(done, reply, unwanted))

    def _finish(self, task: asyncio.Task[T], reply: Future[T], unwanted: Callable[[T], None] | None) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if not reply.set_running_or_notify_cancel():
            if unwanted is not None and not task.cancelled() and error is None:
                unwanted(task.result())
            return
        if task.cancelled():
            reply.set_exception(RuntimeError(f"{self._name} was stopped"))
        elif error is not None:
            reply.set_exception(error)
        else:
            reply.set_result(task.result())

    def _ensure(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                started = threading.Event()
                self._thread = threading.Thread(target=self._run, args=(started,), name=self._name, daemon=True)
                self._thread.start()
                started.wait()
            assert self._loop is not None
            return self._loop

    def _run(self, started: threading.Event) -> None:
        # Not asyncio.run: a policy that the tests installed (uvloop, a child watcher) is none of our business.
        loop = asyncio.SelectorEventLoop()
        asyncio.set_event_loop(loop)
        self._loop = loop
        started.set()
        try:
            loop.run_forever()
        finally:
            asyncio.set_event_loop(None)
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()

    def stop(self, timeout: float) -> None:
        """Cancel what still runs, end the loop and join the thread. Harmless when it never started, or twice."""
        with self._lock:
            loop, thread = self._loop, self._thread
            self._thread = None
        if loop is None or thread is None or self.foreign:
            return

        async def settle() -> None:
            tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            loop.stop()

        loop.call_soon_threadsafe(lambda: self._tasks.add(loop.create_task(settle())))
        thread.join(timeout)
