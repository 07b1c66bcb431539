"""INSERT: the data goes to the engine piece by piece, and never through its script parser."""

from __future__ import annotations

import asyncio
import os
import tempfile
from concurrent.futures import Executor
from pathlib import Path

from test_framework.embedded_clickhouse.bodies import StatementBody
from test_framework.embedded_clickhouse.engine import Engine
from test_framework.embedded_clickhouse.errors import ClickHouseError
from test_framework.embedded_clickhouse.job import Job
from test_framework.embedded_clickhouse.request import QueryRequest
from test_framework.embedded_clickhouse.results import BufferedSource, EmptySource, Source
from test_framework.embedded_clickhouse.rewrite import input_to_file
from test_framework.embedded_clickhouse.settings import set_statement

__all__ = ["insert_from_input", "run_insert"]

_PIECE = 1 << 20


async def run_insert(job: Job, engine: Engine, executor: Executor, *, query: QueryRequest, body: StatementBody) -> None:
    """Insert the data of ``body``. A broken or interrupted body cancels what is not yet a block.

    Raises:
        RuntimeError: the engine's error.
        ClickHouseError: there is no data, or the body's encoding is broken.
    """
    insert = body.statement.insert
    assert insert is not None
    stream = _InsertStream(job, engine, insert.format or query.default_format or "TabSeparated")
    loop = asyncio.get_running_loop()
    pending: list[bytes] = []
    size = 0
    try:
        async for piece in body.data():
            pending.append(piece)
            size += len(piece)
            if size >= _PIECE:
                data, pending, size = b"".join(pending), [], 0
                await _shielded(loop.run_in_executor(executor, stream.append, data))
        # A small insert is this hop alone.
        await _shielded(loop.run_in_executor(executor, stream.finish, b"".join(pending)))
    except BaseException:
        await _shielded(loop.run_in_executor(executor, stream.cancel))
        raise


async def insert_from_input(
    job: Job,
    engine: Engine,
    executor: Executor,
    *,
    spool: Path,
    query: QueryRequest,
    body: StatementBody,
) -> Source:
    """INSERT … SELECT … FROM input(…): the data goes to a private file, which the engine reads in its place."""
    insert = body.statement.insert
    assert insert is not None
    loop = asyncio.get_running_loop()
    descriptor, path = tempfile.mkstemp(dir=spool, prefix="input-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            async for piece in body.data():
                await loop.run_in_executor(executor, file.write, piece)
        sql = input_to_file(body.statement, path, insert.format or query.default_format or "TabSeparated")

        def run() -> bytes:
            try:
                job.stats.set_written(job.open(engine).query(sql, params=job.params))
            finally:
                job.finish()
                job.close()
            return b""

        source = BufferedSource(run, executor)
        await source.read()
        return EmptySource()
    finally:
        os.unlink(path)  # noqa: PTH108 - pathlib's is flagged in coroutines, and this takes microseconds


async def _shielded(hop: asyncio.Future[None]) -> None:
    """Wait for a worker even when the request is cancelled: two threads must not use one connection."""
    try:
        await asyncio.shield(hop)
    except asyncio.CancelledError:
        await asyncio.wait({hop})
        raise


class _InsertStream:
    """The blocking side. Every method runs in a worker thread."""

    def __init__(self, job: Job, engine: Engine, format: str) -> None:
        self._job = job
        self._engine = engine
        self._format = format
        self._handle: object = None
        self._any = False

    def _open(self) -> None:
        if self._handle is None:
            connection = self._job.open(self._engine)
            if self._job.params:
                connection.query(set_statement((f"param_{k}", v) for k, v in self._job.params.items()))
            self._handle = connection.send_insert(self._job.sql, self._format)

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
