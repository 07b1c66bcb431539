"""Results: where the bytes of an answer come from, always as a stream."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path
from typing import Protocol

from test_framework.embedded_clickhouse.engine import Engine
from test_framework.embedded_clickhouse.job import Job
from test_framework.embedded_clickhouse.native_output import NativePatch
from test_framework.embedded_clickhouse.pipes import ResultPipe

__all__ = ["BufferedSource", "DocumentSource", "EmptySource", "NativeSource", "Source"]

_CHUNK = 1 << 20
_HOP_SECONDS = 0.05


class Source(Protocol):
    """Gives the bytes of a result piece by piece."""

    async def read(self) -> bytes:
        """The next piece, empty at the end.

        Raises:
            RuntimeError: the engine's error, at any piece.
        """

    async def close(self) -> None:
        """Stop whatever still runs. Harmless at the end, and twice."""


class EmptySource:
    """The answer of a statement that gives none."""

    async def read(self) -> bytes:
        return b""

    async def close(self) -> None:
        """Nothing runs."""


class BufferedSource:
    """A statement whose answer is small: DDL, SHOW, EXPLAIN. One hop to a worker thread."""

    def __init__(self, work: Callable[[], bytes], executor: Executor) -> None:
        self._future = asyncio.get_running_loop().run_in_executor(executor, work)
        self._given = False

    async def read(self) -> bytes:
        if self._given:
            return b""
        self._given = True
        return await asyncio.shield(self._future)

    async def close(self) -> None:
        await asyncio.wait({self._future})


class DocumentSource:
    """A SELECT in any format, written by the engine into a pipe.

    Args:
        statement: makes the statement that writes to the given path.
    """

    def __init__(
        self, job: Job, engine: Engine, executor: Executor, *, spool: Path, statement: Callable[[str], bytes]
    ) -> None:
        self._job = job
        self._engine = engine
        self._pipe = ResultPipe(spool)
        self._sql = statement(self._pipe.path)
        self._future = asyncio.get_running_loop().run_in_executor(executor, self._run)

    def _run(self) -> None:
        job = self._job
        try:
            result = job.open(self._engine).query(self._sql, "TabSeparated", params=job.params)
            job.stats.add_read(result)
            job.stats.result_rows = result.rows_read()
        finally:
            job.finish()
            job.close()

    async def read(self) -> bytes:
        # A small result is complete before anything needs to be read; one wake-up instead of two.
        if not self._future.done():
            await asyncio.wait({self._future}, timeout=0.002)
        while True:
            finished = self._future.done()
            if data := self._pipe.read():
                return data
            if finished:
                self._future.result()
                return b""
            await self._pipe.wait(self._future)

    async def close(self) -> None:
        self._pipe.close()
        await asyncio.wait({self._future})


class NativeSource:
    """A SELECT in Native: the engine's blocks one by one, each made what the client's revision expects."""

    def __init__(self, job: Job, engine: Engine, executor: Executor, *, patch: NativePatch | None) -> None:
        self._job = job
        self._engine = engine
        self._executor = executor
        self._patch = patch
        self._stream: object = None
        self._opened = False
        self._ended = False
        self._hop: asyncio.Future[bytes] | None = None

    async def read(self) -> bytes:
        if self._ended:
            return b""
        self._hop = asyncio.get_running_loop().run_in_executor(self._executor, self._fetch)
        return await asyncio.shield(self._hop)

    def _fetch(self) -> bytes:
        """Blocks up to a megabyte or 50 ms, in one hop; for a small result this is all of it."""
        try:
            if not self._opened:
                self._opened = True
                connection = self._job.open(self._engine)
                self._stream = connection.send_query(self._job.sql, "Native", params=self._job.params)
            pieces = self._gather()
        except BaseException:
            self._finish()
            raise
        if self._ended:
            self._finish()
        return b"".join(pieces)

    def _gather(self) -> list[bytes]:
        connection, stats = self._job.connection, self._job.stats
        assert connection is not None
        pieces: list[bytes] = []
        size, deadline = 0, time.perf_counter() + _HOP_SECONDS
        while size < _CHUNK and (time.perf_counter() < deadline or not pieces):
            block = connection.streaming_fetch_result(self._stream)
            if block is None or not block.size():
                self._ended = True
                break
            stats.add_read(block)
            rows = block.rows_read()
            stats.result_rows += rows
            data = block.bytes()
            pieces.append(self._patch(data, rows, connection) if self._patch else data)
            size += len(data)
        return pieces

    def _finish(self) -> None:
        self._ended = True
        self._job.finish()
        self._job.close()

    def _cancel(self) -> None:
        connection = self._job.connection
        if connection is not None and self._stream is not None:
            connection.streaming_cancel_query(self._stream)
        self._finish()

    async def close(self) -> None:
        if self._hop is not None:
            await asyncio.wait({self._hop})
        if not self._ended:
            await asyncio.get_running_loop().run_in_executor(self._executor, self._cancel)
