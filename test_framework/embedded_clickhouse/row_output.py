"""SELECTs in formats whose blocks, written one by one and put together, are the whole document.

The engine writes into a file through a buffer of a megabyte, so a slow query in such a format would show nothing for a
long time. A server sends each block when it has it.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from test_framework.embedded_clickhouse.engine import Connection
from test_framework.embedded_clickhouse.job import Job
from test_framework.embedded_clickhouse.native_bytes import read_varint
from test_framework.embedded_clickhouse.native_output import NativeBlock, NativeStream
from test_framework.embedded_clickhouse.statement import Statement
from test_framework.embedded_clickhouse.transfer import Piece

__all__ = ["RowStream", "is_row_wise"]

#: Strings in front of each block, for each column.
_HEADS = {"rowbinary": 0, "rowbinarywithnames": 1, "rowbinarywithnamesandtypes": 2}
_PLAIN = frozenset(
    [
        *("tabseparated", "tsv", "tabseparatedraw", "tsvraw", "raw", "csv", "tskv", "lineasstring"),
        *("jsoneachrow", "jsonlines", "ndjson", "jsonstringseachrow"),
        *("jsoncompacteachrow", "jsoncompactstringseachrow"),
    ]
)
#: What puts something behind the last row, or around all of them.
_MORE = re.compile(rb"(?i)\btotals\b|\bextremes\b|array_of_rows")
_AROUND = {"extremes", "output_format_json_array_of_rows"}


def is_row_wise(format: str, sql: bytes, job: Job) -> bool:
    """Whether the document of this SELECT is nothing but its rows."""
    name = format.lower()
    if name in _HEADS:
        return True
    if name not in _PLAIN or job.session is not None:  # a session may have chosen something of its own
        return False
    return not _AROUND & job.settings.keys() and _MORE.search(sql) is None


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
        data: Piece = memory.view()
        self._job.stats.result_rows += rows
        if self._strings and self._head is None:
            self._head = bytes(data[: _head_size(data, self._strings)])
        elif self._strings:
            # Each block repeats it.
            data = data[len(self._head or b"") :]
        return NativeBlock((data,), memory)


def _head_size(data: Piece, strings: int) -> int:
    """Bytes of the names, or of the names and types, in front of the rows."""
    columns, at = read_varint(data, 0)
    for _ in range(columns * strings):
        length, at = read_varint(data, at)
        at += length
    return at
