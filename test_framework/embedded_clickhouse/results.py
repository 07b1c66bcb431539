"""Results: where the bytes of an answer come from, always as a stream."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from test_framework.embedded_clickhouse.engine import Connection, Engine, QueryResult
from test_framework.embedded_clickhouse.errors import ENGINE_ERRORS, SYNTAX_ERROR, translate
from test_framework.embedded_clickhouse.hops import Call, Hops
from test_framework.embedded_clickhouse.job import Job
from test_framework.embedded_clickhouse.native_output import NativeBlock, NativeStream
from test_framework.embedded_clickhouse.pipes import SIZE, SMALL, PipePool, ResultPipe
from test_framework.embedded_clickhouse.transfer import Piece, Sink

__all__ = ["BufferedSource", "DocumentSource", "NativeSource", "Source"]

_CHUNK = 1 << 20
_HOP_SECONDS = 0.005
_SMALL_SECONDS = 0.002


class Source(Protocol):
    """Gives the bytes of a result piece by piece."""

    @property
    def idle(self) -> bool:
        """Whether ``close`` has nothing to wait for."""

    async def read(self) -> Sequence[Piece]:
        """The next pieces, none at the end, valid until the next call; read-only ones until ``pour`` or ``close``.

        May be cancelled when a piece was read before, and called again.

        Raises:
            RuntimeError, UnicodeDecodeError: the engine's error, at any piece.
            ClickHouseError: the endpoint's own, before the first piece.
        """

    async def pour(self, sink: Sink, first: Sequence[Piece]) -> None:
        """Write ``first``, pieces that were read, and then all that is left, in a worker thread.

        Raises:
            RuntimeError, UnicodeDecodeError, ClickHouseError: as ``read``, when what came before is written.
            OSError: the sink's.
        """

    async def close(self) -> None:
        """Kill the query if it still runs, wait for its end, clean up. Harmless at the end, and twice."""


class BufferedSource:
    """A statement whose answer is small: DDL, SHOW, EXPLAIN. One hop to a worker thread."""

    def __init__(self, work: Callable[[], bytes], hops: Hops) -> None:
        self._hops = hops
        self._call = hops.begin(work)
        self._given = False

    @property
    def idle(self) -> bool:
        return not self._hops.busy

    async def read(self) -> Sequence[Piece]:
        if self._given:
            return ()
        self._given = True
        data = await self._call.ended()
        return (data,) if data else ()

    async def pour(self, sink: Sink, first: Sequence[Piece]) -> None:
        pieces = (*first, *await self.read())
        await self._hops.run(lambda: sink.write(pieces))

    async def close(self) -> None:
        await self._hops.end()


class DocumentSource:
    """A SELECT in any format, written by the engine into a pipe.

    Args:
        statement: makes the statement that writes to the given path.
        plain: runs the statement as it came, where that one is a syntax error.
    """

    def __init__(
        self,
        job: Job,
        engine: Engine,
        hops: Hops,
        *,
        pipes: PipePool,
        statement: Callable[[str], bytes],
        plain: Callable[[Connection], QueryResult],
    ) -> None:
        self._plain = plain
        self._job = job
        self._engine = engine
        self._hops = hops
        self._rest = b""
        self._buffer: memoryview | None = None
        self._pipes = pipes
        pipe = pipes.take()
        self._pipe: ResultPipe | None = pipe
        self._sql = job.marked(statement(pipe.path))
        self._fresh, self._empty = True, False
        self._call = hops.begin(partial(self._run, pipe))
        self._pouring: Call[None] | None = None

    def _run(self, pipe: ResultPipe) -> None:
        job, well = self._job, False
        try:
            connection = job.open(self._engine)
            try:
                result = connection.query(self._sql, "TabSeparated", params=job.params)
            except ENGINE_ERRORS as error:
                if translate(error).code != SYNTAX_ERROR:
                    raise
                # Nothing has run. The statement as it came gives the message that the client should see.
                result = self._plain(connection)
                self._rest = result.bytes()
            job.stats.add_read(result)
            job.stats.result_rows = result.rows_read()
            well = True
        finally:
            job.finish()
            job.close(well=well)
            pipe.ring()

    @property
    def idle(self) -> bool:
        return not self._hops.busy and (self._pouring is None or self._pouring.done())

    async def read(self) -> Sequence[Piece]:
        if self._fresh:
            # A small result is complete before anything needs to be read; one wake-up instead of two.
            self._fresh = False
            await self._call.wait(_SMALL_SECONDS)
        pipe = self._pipe
        assert pipe is not None, "read after close"
        while True:
            finished = self._call.done()
            if not self._empty and (data := self._take(pipe)):
                self._empty = finished and self._buffer is None
                return (data,)
            if finished:
                self._call.result()
                rest, self._rest = self._rest, b""
                return (rest,) if rest else ()
            await pipe.wait(self._call)

    def _take(self, pipe: ResultPipe) -> Piece:
        """What is in the pipe. A large result goes through one buffer, whose memory is there already."""
        if self._buffer is not None:
            return self._buffer[: pipe.read_into(self._buffer)]
        data = pipe.read()
        if len(data) == SMALL:
            self._buffer = memoryview(bytearray(SIZE))
        return data

    async def pour(self, sink: Sink, first: Sequence[Piece]) -> None:
        # A second thread beside the query's own.
        self._pouring = self._hops.beside(partial(self._pour, sink, first))
        await self._pouring.ended()

    def _pour(self, sink: Sink, first: Sequence[Piece]) -> None:
        sink.write(first)
        pipe = self._pipe
        assert pipe is not None, "poured after close"
        while True:
            finished = self._call.done()
            if data := self._take(pipe):
                sink.write((data,))
            elif finished:
                self._call.result()
                sink.write((self._rest,))
                return
            else:
                pipe.block()

    async def close(self) -> None:
        # The pipe is read until the query has ended: the engine does not bear a reader that goes away.
        await self._hops.end(self._drain)
        if self._pouring is not None:
            await self._pouring.wait()
        pipe, self._pipe = self._pipe, None
        if pipe is not None:
            self._pipes.give_back(pipe)

    def _drain(self) -> None:
        while self._pipe is not None and self._pipe.read():
            pass


class NativeSource:
    """A SELECT in Native, block by block from the engine's memory."""

    def __init__(self, job: Job, engine: Engine, hops: Hops, *, stream: NativeStream) -> None:
        self._job = job
        self._engine = engine
        self._hops = hops
        self._stream = stream
        self._ended = self._large = False
        #: what ``read`` gave out, whose memory must stay
        self._kept: list[NativeBlock] = []
        self._reading: Call[list[Piece]] | None = None

    @property
    def idle(self) -> bool:
        return self._ended and not self._hops.busy

    async def read(self) -> Sequence[Piece]:
        if self._reading is None:
            if self._ended:
                return ()
            self._reading = self._hops.begin(self._fetch)
        await self._reading.wait()
        reading, self._reading = self._reading, None
        return reading.result()

    async def pour(self, sink: Sink, first: Sequence[Piece]) -> None:
        if self._reading is not None:
            # Nobody has waited for it to its end: meanwhile the client gets what there is.
            await self._hops.beside(partial(sink.write, first)).ended()
            first = await self.read()
        await self._hops.run(partial(self._pour, sink, first))

    def _fetch(self) -> list[Piece]:
        """Blocks up to a megabyte or 5 ms; for a small result this is all of it."""
        pieces: list[Piece] = []
        size, deadline = 0, time.perf_counter() + _HOP_SECONDS
        while size < _CHUNK and (time.perf_counter() < deadline or not pieces):
            block = self._next()
            if block is None:
                break
            self._kept.append(block)
            pieces.extend(block.pieces)
            size += sum(map(len, block.pieces))
        return pieces

    def _pour(self, sink: Sink, first: Sequence[Piece]) -> None:
        self._large = True
        sink.write(first)
        del first
        self._kept.clear()
        # One thread makes a block and sends it, with nothing handed over between: the client reads beside it. There
        # is one block at a time, since one of wide rows can be hundreds of megabytes.
        while not self._ended and (block := self._next()) is not None:
            sink.write(block.pieces)
            del block

    def _next(self) -> NativeBlock | None:
        """The next block; ``None`` at the end, when everything is given back."""
        try:
            connection = self._job.connection
            if connection is None:
                connection = self._job.open(self._engine)
                self._stream.open(connection)
            block = self._stream.next(connection)
        except BaseException:
            self._finish()
            raise
        if block is None:
            # What a large result has left behind goes with its connection.
            self._finish(well=self._stream.leaves_nothing and not self._large)
        return block

    def _finish(self, *, well: bool = False) -> None:
        self._ended = True
        if self._job.connection is not None:
            self._stream.close(self._job.connection)
        self._job.finish()
        self._job.close(well=well)

    def _cancel(self) -> None:
        if self._job.connection is not None:
            self._stream.cancel(self._job.connection)
        self._finish()

    async def close(self) -> None:
        await self._hops.end()
        if not self._ended:
            await self._hops.run(self._cancel)
        self._kept.clear()
