"""INSERT: the data goes to the engine piece by piece, and never through its script parser.

Both are sources of an answer without bytes: the first read does the work.

The engine's interface for streamed data has a fault: data given to it after the reader of the format has found its end
brings the whole engine down. A reader that wants all data is not concerned, and neither is a single piece of data in
which the reader finds its end. The formats that are concerned go through a file.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from itertools import chain
from pathlib import Path
from typing import IO

from test_framework.embedded_clickhouse.bodies import StatementBody
from test_framework.embedded_clickhouse.engine import Connection, Engine
from test_framework.embedded_clickhouse.errors import ENGINE_ERRORS, SYNTAX_ERROR, ClickHouseError, translate
from test_framework.embedded_clickhouse.hops import Hops
from test_framework.embedded_clickhouse.job import Job
from test_framework.embedded_clickhouse.rewrite import input_to_file, insert_from_file
from test_framework.embedded_clickhouse.transfer import Piece, Sink

__all__ = ["FileSource", "InsertSource", "insert_source"]

_PIECE = 1 << 20
#: Readers that may find their end before any data, or before the end of the first piece (lower case).
_ENDS_AT_WILL = frozenset({"one", "npy", "arrowstream"})
#: Readers with an end of their own, behind which there may be more.
_HAS_AN_END = frozenset({"values", "json", "jsoncompact"})


def insert_source(
    job: Job, engine: Engine, hops: Hops, *, format: str, body: StatementBody, spool: Path
) -> InsertSource | FileSource:
    """The source for an INSERT with data, of whatever shape.

    Args:
        format: of the data.
        spool: directory for what has to go through a file.
    """
    insert = body.statement.insert
    assert insert is not None
    rewrite = input_to_file if insert.has_select else insert_from_file
    file = FileSource(job, engine, hops, lambda path: rewrite(body.statement, path, format), body=body, spool=spool)
    if insert.has_select or format.lower() in _ENDS_AT_WILL:
        return file
    large = file if format.lower() in _HAS_AN_END else None
    return InsertSource(job, engine, hops, format=format, body=body, large=large)


class InsertSource:
    """INSERT with data. A body that is broken or breaks off cancels what is not yet a block.

    Args:
        format: of the data.
        large: takes over when the data does not fit into one piece; ``None`` for data in any number of pieces.
    """

    def __init__(
        self, job: Job, engine: Engine, hops: Hops, *, format: str, body: StatementBody, large: FileSource | None = None
    ) -> None:
        self._job = job
        self._engine = engine
        self._hops = hops
        self._format = format
        self._body = body
        self._large = large
        self._handle: object = None
        self._empty = True
        self._closed = False

    @property
    def idle(self) -> bool:
        return self._closed and not self._hops.busy

    async def read(self) -> Sequence[Piece]:
        if self._closed:
            return ()
        pending: list[bytes] = []
        size = 0
        first = self._large is None
        data_left = self._body.data()
        async for piece in data_left:
            pending.append(piece)
            size += len(piece)
            if size >= _PIECE and self._large is not None:
                self._closed = True
                return await self._large.read(pending, data_left)
            if size < _PIECE and not first:
                continue
            first = False
            await self._hops.wait()
            if (intake := self._body.intake()) is not None:
                await intake.follow(self._hops.begin(partial(self._append, chain(pending, intake.pieces()))))
            elif size >= _PIECE:
                # The engine parses these pieces while the next ones arrive.
                self._hops.begin(partial(self._append, pending))
            else:
                continue
            pending, size = [], 0
        await self._hops.wait()
        # A small insert is this hop alone.
        await self._hops.run(partial(self._finish, pending))
        return ()

    async def pour(self, sink: Sink, first: Sequence[Piece]) -> None:
        """The answer has no bytes."""
        await self.read()

    async def close(self) -> None:
        await self._hops.end()
        if not self._closed:
            await self._hops.run(self._cancel)
        if self._large is not None:
            await self._large.close()

    # what follows runs in worker threads

    def _append(self, pieces: Iterable[bytes]) -> None:
        job = self._job
        if self._handle is None:
            connection = job.open(self._engine)
            if job.params:
                job.set_params(connection, job.params)
            self._handle = self._begin(connection)
        assert job.connection is not None
        if self._large is not None:
            # What ends where the reader likes must come in one piece.
            pieces = [b"".join(pieces)]
        for data in filter(None, pieces):
            self._empty = False
            job.connection.insert_append(self._handle, data)

    def _begin(self, connection: Connection) -> object:
        job = self._job
        try:
            return connection.send_insert(job.marked(job.sql), self._format)
        except ENGINE_ERRORS as error:
            if translate(error).code != SYNTAX_ERROR:
                raise
            # As the client sent it, for the message that the client should see.
            connection.insert_cancel(connection.send_insert(job.sql, self._format))
            raise

    def _finish(self, pieces: Sequence[bytes]) -> None:
        small = self._handle is None
        self._append(pieces)
        if self._empty and self._format == "Values":
            raise ClickHouseError(108, "NO_DATA_TO_INSERT", "No data to insert")
        assert self._job.connection is not None
        handle, self._handle = self._handle, None
        self._job.stats.set_written(self._job.connection.insert_done(handle))
        self._release(well=small)

    def _cancel(self) -> None:
        handle, self._handle = self._handle, None
        with suppress(*ENGINE_ERRORS):
            if handle is not None and self._job.connection is not None:
                self._job.connection.insert_cancel(handle)
        self._release()

    def _release(self, *, well: bool = False) -> None:
        self._closed = True
        self._job.finish()
        self._job.close(well=well)


class FileSource:
    """INSERT whose data goes to a private file, which the engine reads in its place.

    Args:
        statement: makes the statement that reads from the given path.
    """

    def __init__(
        self,
        job: Job,
        engine: Engine,
        hops: Hops,
        statement: Callable[[str], bytes],
        *,
        body: StatementBody,
        spool: Path,
    ) -> None:
        self._job = job
        self._engine = engine
        self._hops = hops
        self._statement = statement
        self._body = body
        self._spool = spool
        self._file: IO[bytes] | None = None

    @property
    def idle(self) -> bool:
        return self._file is None and not self._hops.busy

    async def read(self, first: Iterable[bytes] = (), rest: AsyncIterator[bytes] | None = None) -> Sequence[Piece]:
        """Do the work; ``first`` is what was already taken from the body, ``rest`` what was not."""
        file = self._file = tempfile.NamedTemporaryFile(dir=self._spool, prefix="input-")  # noqa: SIM115 - see close
        for piece in first:
            await self._hops.run(partial(file.write, piece))
        async for piece in rest or self._body.data():
            await self._hops.run(partial(file.write, piece))
        await self._hops.run(self._run)
        return ()

    def _run(self) -> None:
        assert self._file is not None
        self._file.flush()
        job = self._job
        try:
            sql = self._statement(self._file.name)
            job.stats.set_written(job.query(job.open(self._engine), sql))
        finally:
            job.finish()
            job.close()

    async def pour(self, sink: Sink, first: Sequence[Piece]) -> None:
        """The answer has no bytes."""
        await self.read()

    async def close(self) -> None:
        await self._hops.end()
        file, self._file = self._file, None
        if file is not None:
            file.close()
