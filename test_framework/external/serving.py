"""Applications on real sockets of this process: started in milliseconds, in threads that are kept.

An application gets an event loop to itself, so that one that blocks it disturbs nobody. The loop's thread is kept for
the next application.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from test_framework.errors import ApplicationError
from test_framework.external.application import Application
from test_framework.external.backing import Backing
from test_framework.isolation.loop_thread import LoopThread

if TYPE_CHECKING:
    from test_framework.external.server import AppServer

__all__ = ["RunningService", "astart_service", "close_threads", "running_service", "start_service"]

# pytest shows the user's line, not ours; --full-trace shows all.
__tracebackhide__ = True

_STARTING = 60.0
_THREAD_ENDS = 5.0
# The environment belongs to the whole process: one application at a time reads it.
_environment = threading.Lock()


class _Threads:
    """Threads with an event loop: one that all polite applications share, and kept ones for the others."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._shared: LoopThread | None = None
        self._idle: list[LoopThread] = []
        self._made = 0

    def take(self, *, shared: bool) -> LoopThread:
        with self._lock:
            if shared:
                if self._shared is None or self._shared.foreign:
                    self._shared = LoopThread("test-framework-reference")
                return self._shared
            while self._idle:
                thread = self._idle.pop()
                if not thread.foreign:
                    return thread
            self._made += 1
            return LoopThread(f"test-framework-application-{self._made}")

    def is_shared(self, thread: LoopThread) -> bool:
        return thread is self._shared

    def give_back(self, thread: LoopThread) -> None:
        with self._lock:
            self._idle.append(thread)

    def close(self) -> None:
        with self._lock:
            threads, self._idle = self._idle, []
            if self._shared is not None:
                threads.append(self._shared)
                self._shared = None
        for thread in threads:
            thread.stop(_THREAD_ENDS)


_threads = _Threads()


def close_threads() -> None:
    """End the kept threads: nothing may be served any more. They come back when somebody asks."""
    _threads.close()


class RunningService:
    """An application that answers. End it by :meth:`stop` or :meth:`astop`."""

    def __init__(self, application: Application, server: AppServer, thread: LoopThread) -> None:
        self.name = application.name
        self.url = f"http://127.0.0.1:{server.port}"
        self.websocket_url = f"ws://127.0.0.1:{server.port}"
        self._server = server
        self._thread = thread
        self._lock = threading.Lock()
        self._stopped = False

    def __repr__(self) -> str:
        return f"<{self.name} at {self.url}>"

    def log_tail(self) -> str:
        """What the application logged last, without secrets."""
        return self._server.log.tail()

    def stop(self) -> None:
        """End it and wait until its socket is closed. Harmless twice, and in a forked child.

        Raises:
            ApplicationError: it failed while it shut down.
        """
        if self._begin_stop():
            self._thread.submit(_stop(self._server, self._thread)).result()

    async def astop(self) -> None:
        """The same from any event loop."""
        if self._begin_stop():
            await asyncio.shield(asyncio.wrap_future(self._thread.submit(_stop(self._server, self._thread))))

    def _begin_stop(self) -> bool:
        with self._lock:
            if self._stopped or self._thread.foreign:
                return False
            self._stopped = True
            return True


def start_service(
    application: Application,
    backing: Backing,
    *,
    timeout: float = _STARTING,
    variables: Mapping[str, str] | None = None,
) -> RunningService:
    """Serve ``application`` on an ephemeral port of 127.0.0.1, and return when it answers.

    Args:
        backing: the databases that it shall use.
        timeout: seconds for its start.
        variables: the process's environment while it starts, beyond what is there; ``None``: ``backing.variables()``
            for an application of the user's, nothing for the reference service.

    Raises:
        ApplicationError: it does not start; the message holds its log.
    """
    server, thread = _prepared(application, backing)
    launch = _launch(server, thread, _variables(application, backing, variables), timeout)
    reply = thread.submit(launch, unwanted=lambda _: _discard(server, thread))
    try:
        reply.result(timeout + _THREAD_ENDS)
    except BaseException as error:
        if reply.cancel():  # its loop does not even get to its own time limit
            raise _blocked(application, timeout, server) from error
        raise
    return RunningService(application, server, thread)


def _blocked(application: Application, timeout: float, server: AppServer) -> ApplicationError:
    return ApplicationError(
        f"{application.name} did not start within {timeout:g} s",
        cause="it blocks its event loop",
        log_tail=server.log.tail(),
        fix="start it by itself to see where it waits: uvicorn " + application.name,
    )


async def astart_service(
    application: Application,
    backing: Backing,
    *,
    timeout: float = _STARTING,
    variables: Mapping[str, str] | None = None,
) -> RunningService:
    """The same from any event loop; when it is cancelled, nothing stays behind."""
    server, thread = _prepared(application, backing)
    launch = _launch(server, thread, _variables(application, backing, variables), timeout)
    await asyncio.wrap_future(thread.submit(launch, unwanted=lambda _: _discard(server, thread)))
    return RunningService(application, server, thread)


@asynccontextmanager
async def running_service(
    application: Application, backing: Backing, *, timeout: float = _STARTING
) -> AsyncIterator[RunningService]:
    """Serve ``application`` for the length of a block."""
    service = await astart_service(application, backing, timeout=timeout)
    try:
        yield service
    finally:
        await service.astop()


def _prepared(application: Application, backing: Backing) -> tuple[AppServer, LoopThread]:
    from test_framework.external.server import AppServer  # uvicorn, when it is needed

    return AppServer(application, backing), _threads.take(shared=application.shared_loop)


def _variables(application: Application, backing: Backing, given: Mapping[str, str] | None) -> Mapping[str, str]:
    if given is not None:
        return given
    return {} if application.shared_loop else backing.variables()


async def _launch(server: AppServer, thread: LoopThread, variables: Mapping[str, str], timeout: float) -> None:
    try:
        with _set_environment(variables):
            async with asyncio.timeout(timeout):
                await server.start()
    except TimeoutError as error:
        await _tidy(thread)
        raise ApplicationError(
            f"{server.name} did not start within {timeout:g} s", log_tail=server.log.tail()
        ) from error
    except BaseException:
        await _tidy(thread)
        raise


async def _stop(server: AppServer, thread: LoopThread) -> None:
    try:
        await server.stop()
    finally:
        await _tidy(thread)


def _discard(server: AppServer, thread: LoopThread) -> None:
    """It started when nobody waited any more."""
    thread.submit(_stop(server, thread))


async def _tidy(thread: LoopThread) -> None:
    """An application that has its loop to itself leaves nothing there for the next one."""
    if _threads.is_shared(thread):
        return
    current = asyncio.current_task()
    left = [task for task in asyncio.all_tasks() if task is not current]
    for task in left:
        task.cancel()
    if left:
        await asyncio.wait(left, timeout=_THREAD_ENDS)
    _threads.give_back(thread)


@contextlib.contextmanager
def _set_environment(variables: Mapping[str, str]) -> Iterator[None]:
    if not variables:
        yield
        return
    if not _environment.acquire(timeout=_STARTING):
        raise ApplicationError("another application of this process has been starting for too long")
    try:
        before = {name: os.environ.get(name) for name in variables}
        os.environ.update(variables)
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value
    finally:
        _environment.release()
