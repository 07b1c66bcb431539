"""Results of any format as a stream: the engine writes its whole document into a named pipe, and we read the other end.

The engine's own streaming interface gives each block as a complete document, with header and footer repeated; only
``INTO OUTFILE`` writes one document block by block. Memory stays constant: a full pipe stops the engine.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import itertools
import os
import select
from pathlib import Path

from test_framework.embedded_clickhouse.hops import Call

__all__ = ["SIZE", "SMALL", "PipePool", "ResultPipe"]

#: Bytes a pipe holds, and a buffer for reading from it.
SIZE = 1 << 20
#: A result below it needs no buffer of its own.
SMALL = 1 << 16
_NUMBERS = itertools.count(1)


class ResultPipe:
    """A named pipe of a megabyte; a result that fits is written without anybody reading.

    Args:
        directory: private directory to create it in.
    """

    def __init__(self, directory: Path) -> None:
        self.path = str(directory / f"result-{next(_NUMBERS)}")
        os.mkfifo(self.path, 0o600)
        # Both ends: opening never blocks, and the end of the query, not of the pipe, is the end of the result.
        self._fd = os.open(self.path, os.O_RDWR | os.O_NONBLOCK)
        self._bell, self._rope = os.pipe()
        os.set_blocking(self._bell, False)
        if hasattr(fcntl, "F_SETPIPE_SZ"):
            with contextlib.suppress(OSError):
                fcntl.fcntl(self._fd, fcntl.F_SETPIPE_SZ, SIZE)

    def read(self) -> bytes:
        """What is there now, at most ``SMALL`` bytes; empty when nothing is."""
        try:
            return os.read(self._fd, SMALL)
        except BlockingIOError:
            return b""

    def read_into(self, buffer: memoryview) -> int:
        """Fill ``buffer`` as far as something is there now; returns how far."""
        try:
            return os.readv(self._fd, [buffer])
        except BlockingIOError:
            return 0

    def ring(self) -> None:
        """Say that the query has ended: ``block`` returns at once from now on. Harmless twice."""
        os.write(self._rope, b".")

    def block(self) -> None:
        """Return when something can be read, or the query has ended. Not in the event loop."""
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        poll.register(self._bell, select.POLLIN)
        poll.poll()

    def clear(self) -> None:
        """Throw away what it holds, for the next query."""
        while self.read():
            pass
        with contextlib.suppress(BlockingIOError):
            os.read(self._bell, SMALL)

    async def wait(self, query: Call[None]) -> None:
        """Return when something can be read, or the query has finished."""
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()

        def wake() -> None:
            if not ready.done():
                ready.set_result(None)

        loop.add_reader(self._fd, wake)
        query.call_at_end(wake)
        try:
            await ready
        finally:
            query.take_back(wake)
            loop.remove_reader(self._fd)

    def remove(self) -> None:
        """Remove the pipe. Only when nobody writes into it any more."""
        for descriptor in (self._fd, self._bell, self._rope):
            os.close(descriptor)
        with contextlib.suppress(OSError):
            os.unlink(self.path)  # noqa: PTH108 - twice as fast, and this is on the way of every query


class PipePool:
    """Pipes that are used again: making and removing one costs as much as a small query.

    Args:
        directory: private directory for them.
        keep: how many are kept for later.
    """

    def __init__(self, directory: Path, *, keep: int) -> None:
        self._directory = directory
        self._keep = keep
        self._free: list[ResultPipe] = []

    def take(self) -> ResultPipe:
        """An empty pipe that nobody writes into."""
        return self._free.pop() if self._free else ResultPipe(self._directory)

    def give_back(self, pipe: ResultPipe) -> None:
        """Take back a pipe whose query has ended. What it still holds is thrown away."""
        pipe.clear()
        if len(self._free) < self._keep:
            self._free.append(pipe)
        else:
            pipe.remove()
