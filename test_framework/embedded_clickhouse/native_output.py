"""SELECTs in Native for clients that name a protocol revision: which zones DateTime columns have, and when to ask."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from test_framework.embedded_clickhouse.engine import Connection, ResultMemory
from test_framework.embedded_clickhouse.errors import ENGINE_ERRORS, SYNTAX_ERROR, translate
from test_framework.embedded_clickhouse.job import Job
from test_framework.embedded_clickhouse.native import BlockRewriter, Column, may_hold_bare_datetime
from test_framework.embedded_clickhouse.native_bytes import read_varint
from test_framework.embedded_clickhouse.statement import Statement
from test_framework.embedded_clickhouse.transfer import Piece

__all__ = ["NativeBlock", "NativeStream", "may_be_wide"]

#: What makes values that are much longer than what it makes them of.
_WIDE = re.compile(
    rb"(?i)\b(?:repeat|space|random\w*|[lr]pad|(?:left|right)pad\w*|group[a-z]+|\w+concat|arraywithconstant|replicate)\s*\("
)
_CHOSEN = "SELECT changed FROM system.settings WHERE name = 'max_block_size'"
_FEWER_ROWS = "SET max_block_size = 4096"
_USUAL_ROWS = "SET max_block_size = DEFAULT"


def may_be_wide(sql: bytes) -> bool:
    """Whether rows of the result may be so long that a block of the usual 65,409 is hundreds of megabytes.

    A guess, on which only memory and speed depend. Tables give blocks of few bytes by themselves.
    """
    return _WIDE.search(sql) is not None


@dataclass(frozen=True, slots=True)
class NativeBlock:
    """Bytes in the engine's memory, and what must be kept as long as they are used."""

    pieces: Sequence[Piece]
    memory: ResultMemory


class NativeStream:
    """The engine's blocks of one SELECT, made what the client's revision expects. Runs in worker threads.

    Args:
        revision: what the client named, 0 when it named none: then the blocks are right as they are.
        wide: make blocks of fewer rows, unless somebody has chosen their number.
        plain: runs the statement as it came, where this one is a syntax error.
        format: of blocks that are no Native, which are right as they are.

    The engine leaves the zone out of ``DateTime('zone')``; DESCRIBE knows it. A second statement would end the open
    stream, so where the first block holds such a column, the columns are asked for before anything is given out, and a
    stream that was not over yet is begun again.
    """

    def __init__(
        self,
        job: Job,
        statement: Statement,
        revision: int,
        *,
        wide: bool,
        plain: Callable[[Connection], object],
        format: str = "Native",
    ) -> None:
        self._format = format
        self._job = job
        self._statement = statement
        self._revision = revision
        self._plain = plain
        self._wide = wide and job.readonly != 1
        self._columns: Sequence[Column] = ()
        self._rewriter = BlockRewriter(revision, lambda: self._columns)
        self._first: list[tuple[ResultMemory, int]] = []
        self._handle: object = None
        self._ended = self._cancelled = False

    def open(self, connection: Connection) -> None:
        """Begin the query. Errors are the engine's."""
        if self._wide:
            self._wide = connection.query(_CHOSEN, "TabSeparated").bytes() == b"0\n"
        if self._wide:
            connection.query(_FEWER_ROWS)
        try:
            self._send(connection)
            first = self._fetch(connection)
        except ENGINE_ERRORS as error:
            if translate(error).code == SYNTAX_ERROR:
                # Nothing has run. The statement as it came gives the message that the client should see.
                self._plain(connection)
            raise
        if first is None:
            return
        self._first = [first]
        if may_hold_bare_datetime(first[0].view(), self._revision):
            self._learn_columns(connection)

    def next(self, connection: Connection) -> NativeBlock | None:
        """The next block as the client gets it; ``None`` at the end."""
        fetched = self._first.pop(0) if self._first else self._fetch(connection)
        if fetched is None:
            return None
        memory, rows = fetched
        data = memory.view()
        self._job.stats.result_rows += rows
        if block_rows(data) != rows and self._revision:  # several blocks in one piece
            return NativeBlock((self._rewriter.blocks(bytes(data)),), memory)
        return NativeBlock(self._rewriter.parts(data), memory)

    @property
    def leaves_nothing(self) -> bool:
        """Whether the connection is as it was before, once the stream has come to its end."""
        return not self._wide and not self._cancelled

    def cancel(self, connection: Connection) -> None:
        """End the query early."""
        if not self._ended and self._handle is not None:
            self._ended = self._cancelled = True
            connection.streaming_cancel_query(self._handle)

    def close(self, connection: Connection) -> None:
        """Leave the connection as it was, after the end."""
        if self._wide:
            with suppress(*ENGINE_ERRORS):
                connection.query(_USUAL_ROWS)

    def _send(self, connection: Connection) -> None:
        self._ended = False
        self._handle = connection.send_query(
            self._job.marked(self._statement.text), self._format, params=self._job.params
        )

    def _fetch(self, connection: Connection) -> tuple[ResultMemory, int] | None:
        if self._ended:
            return None
        block = connection.streaming_fetch_result(self._handle)
        if block is None or not block.size():
            self._ended = True
            return None
        self._job.stats.add_read(block)
        return block.get_memview(), block.rows_read()

    def _learn_columns(self, connection: Connection) -> None:
        second = self._fetch(connection)
        if second is not None:
            self.cancel(connection)
        self._columns = describe(connection, self._statement, self._job.params)
        if second is not None:
            self._first = []
            self._job.stats.read_rows = self._job.stats.read_bytes = 0
            self._send(connection)


def block_rows(data: Piece) -> int:
    """The number of rows that a block's own head names."""
    _, pos = read_varint(data, 0)
    return read_varint(data, pos)[0]


def describe(connection: Connection, statement: Statement, params: dict[str, str]) -> list[Column]:
    """Names and types of a SELECT's columns."""
    text = statement.without_format()
    rows = connection.query(b"DESCRIBE TABLE (" + text + b"\n)", "TabSeparatedRaw", params=params).bytes()
    columns = []
    for line in rows.split(b"\n"):
        name, _, rest = line.partition(b"\t")
        if rest:
            columns.append(Column(name, rest.split(b"\t", 1)[0]))
    return columns
