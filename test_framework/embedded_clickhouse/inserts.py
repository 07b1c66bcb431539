"""INSERT: the data goes to the engine piece by piece, and never through its script parser."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import Executor

from test_framework.embedded_clickhouse.engine import Engine
from test_framework.embedded_clickhouse.errors import ClickHouseError
from test_framework.embedded_clickhouse.job import Job
from test_framework.embedded_clickhouse.settings import set_statement

__all__ = ["run_insert"]

_PIECE = 1 << 20


async def run_insert(
    job: Job,
    engine: Engine,
    executor: Executor,
    *,
    head: bytes,
    format: str,
    first: bytes,
    rest: AsyncIterator[bytes] | None,
) -> None:
    """Insert everything, or nothing of what is not yet a block: a broken body cancels it.

    Raises:
        RuntimeError: the engine's error.
        ClickHouseError: there is no data, or the body's encoding is broken.
    """
    stream = _InsertStream(job, engine, head, format)
    loop = asyncio.get_running_loop()
    pending, size, ended = [first] if first else [], len(first), rest is None
    try:
        while not ended:
            assert rest is not None
            ended = True
            async for piece in rest:
                pending.append(piece)
                size += len(piece)
                if size >= _PIECE:
                    ended = False
                    break
            if not ended:
                data, pending, size = b"".join(pending), [], 0
                await _shielded(loop.run_in_executor(executor, stream.append, data))
        # A small insert is this hop alone.
        await _shielded(loop.run_in_executor(executor, stream.finish, b"".join(pending)))
    except BaseException:
        await _shielded(loop.run_in_executor(executor, stream.cancel))
        raise


async def _shielded(hop: asyncio.Future[None]) -> None:
    """Wait for a worker even when the request is cancelled: two threads must not use one connection."""
    try:
        await asyncio.shield(hop)
    except asyncio.CancelledError:
        await asyncio.wait({hop})
        raise


class _InsertStream:
    """The blocking side. Every method runs in a worker thread."""

    def __init__(self, job: Job, engine: Engine, head: bytes, format: str) -> None:
        self._job = job
        self._engine = engine
        self._head = head
        self._format = format
        self._handle: object = None
        self._any = False

    def _open(self) -> None:
        if self._handle is None:
            connection = self._job.open(self._engine)
            if self._job.params:
                connection.query(set_statement((f"param_{k}", v) for k, v in self._job.params.items()))
            self._handle = connection.send_insert(self._head, self._format)

    def append(self, data: bytes) -> None:
        if data:
            self._open()
            self._any = True
            assert self._job.connection is not None
            self._job.connection.insert_append(self._handle, data)

    def finish(self, data: bytes) -> None:
        self.append(data)
        self._open()
        job = self._job
        assert job.connection is not None
        if not self._any and self._format == "Values":
            raise ClickHouseError(108, "NO_DATA_TO_INSERT", "No data to insert")
        handle, self._handle = self._handle, None
        result = job.connection.insert_done(handle)
        job.stats.set_written(result)
        job.finish()
        job.close()

    def cancel(self) -> None:
        job, handle, self._handle = self._job, self._handle, None
        try:
            if handle is not None and job.connection is not None:
                job.connection.insert_cancel(handle)
        finally:
            job.finish()
            job.close()
