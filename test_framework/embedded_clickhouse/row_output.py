"""SELECTs in formats whose blocks, written one by one and put together, are the whole document.

The engine writes into a file through a buffer of a megabyte, so a slow query in such a format would show nothing for a
long time. A server sends each block when it has it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from test_framework.embedded_clickhouse.engine import Connection
from test_framework.embedded_clickhouse.job import Job
from test_framework.embedded_clickhouse.native_bytes import read_varint
from test_framework.embedded_clickhouse.native_output import NativeBlock, NativeStream
from test_framework.embedded_clickhouse.statement import Statement
from test_framework.embedded_clickhouse.transfer import Piece

__all__ = ["RowStream", "is_row_wise", "row_stream"]

#: Strings in front of each block, for each column.
_HEADS = {"rowbinary": 0, "rowbinarywithnames": 1, "rowbinarywithnamesandtypes": 2}
_PLAIN = frozenset(
    [
        *("tabseparated", "tsv", "tabseparatedraw", "tsvraw", "raw", "csv", "tskv", "lineasstring"),
        *("jsoneachrow", "jsonlines", "ndjson", "jsonstringseachrow"),
        *("jsoncompacteachrow", "jsoncompactstringseachrow"),
    ]
)
#: Lines of which some are no rows.
_WITH_PROGRESS = frozenset(["jsoneachrowwithprogress", "jsonstringseachrowwithprogress"])
#: What puts something behind the last row, or around all of them.
_MORE = re.compile(rb"(?i)\btotals\b|\bextremes\b|array_of_rows")
_AROUND = {"extremes", "output_format_json_array_of_rows"}


def is_row_wise(format: str, sql: bytes, job: Job) -> bool:
    """Whether the document of this SELECT is nothing but its rows."""
    name = format.lower()
    if name in _HEADS or name in _WITH_PROGRESS:
        return True
    if name not in _PLAIN or job.session is not None:  # a session may have chosen something of its own
        return False
    return not _AROUND & job.settings.keys() and _MORE.search(sql) is None


def row_stream(job: Job, statement: Statement, format: str, *, plain: Callable[[Connection], object]) -> RowStream:
    """The stream for one of these formats."""
    kind = _ProgressStream if format.lower() in _WITH_PROGRESS else RowStream
    return kind(job, statement, format, plain=plain)


class RowStream(NativeStream):
    """The engine's blocks of one SELECT in such a format. Runs in worker threads."""

    def __init__(self, job: Job, statement: Statement, format: str, *, plain: Callable[[Connection], object]) -> None:
        super().__init__(job, statement, 0, wide=False, plain=plain, format=format)
        self._strings = _HEADS.get(format.lower(), 0)
        self._head: bytes | None = None

    def next(self, connection: Connection) -> NativeBlock | None:
        """The next block; ``None`` at the end."""
        fetched = self._first.pop(0) if self._first else self._fetch(connection)
        if fetched is None:
            return None
        memory, rows = fetched
        self._job.stats.result_rows += rows
        return NativeBlock((self._made(memory.view()),), memory)

    def _made(self, block: Piece) -> Piece:
        """The block as a part of the document: each block repeats what stands in front of the first."""
        if self._strings and self._head is None:
            self._head = bytes(block[: _head_size(block, self._strings)])
        elif self._strings:
            return block[len(self._head or b"") :]
        return block


class _ProgressStream(RowStream):
    """Rows with what was read so far before those of each block. The engine's own lines know of their block alone."""

    _shown = 0

    def _made(self, block: Piece) -> Piece:
        first = self._head is None
        self._head = b""
        dropped = b'{"progress":' if first else (b'{"progress":', b'{"meta":')
        lines = [line for line in bytes(block).split(b"\n") if not line.startswith(dropped)]
        return self._progress() + b"\n".join(lines)

    def _progress(self) -> bytes:
        stats = self._job.stats
        if stats.read_rows == self._shown:
            return b""
        self._shown = stats.read_rows
        known = {"read_rows": stats.read_rows, "read_bytes": stats.read_bytes, "total_rows_to_read": stats.total_rows}
        values = {name: str(value) for name, value in {**known, "elapsed_ns": self._job.lasted()}.items()}
        return json.dumps({"progress": values}, separators=(",", ":")).encode() + b"\n"


def _head_size(data: Piece, strings: int) -> int:
    """Bytes of the names, or of the names and types, in front of the rows."""
    columns, at = read_varint(data, 0)
    for _ in range(columns * strings):
        length, at = read_varint(data, at)
        at += length
    return at
