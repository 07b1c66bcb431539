"""The real engine in a process of its own, asked one question at a time over its standard input and output.

Not in the test process: a process that has loaded the engine must never fork again.
"""

from __future__ import annotations

import contextlib
import pickle
import struct
import subprocess
import sys
from typing import Any, BinaryIO

_SIZE = struct.Struct("<I")


def _send(stream: BinaryIO, value: Any) -> None:
    data = pickle.dumps(value)
    stream.write(_SIZE.pack(len(data)) + data)
    stream.flush()


def _receive(stream: BinaryIO) -> Any:
    (size,) = _SIZE.unpack(stream.read(_SIZE.size))
    return pickle.loads(stream.read(size))


class EngineChild:
    """Answers with the engine's own words; an engine error comes back as its text."""

    def __init__(self) -> None:
        self._process = subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdin and self._process.stdout
        self._in, self._out = self._process.stdin, self._process.stdout

    def _ask(self, *question: Any) -> Any:
        _send(self._in, question)
        return _receive(self._out)

    def query(self, sql: bytes | str, format: str = "TabSeparated") -> bytes | str:
        """The result, or the text of the error."""
        return self._ask("query", sql, format)

    def stream(self, sql: str, format: str = "Native") -> list[bytes]:
        """The blocks of the result, as the engine hands them out."""
        return list(self._ask("stream", sql, format))

    def statements(self, texts: list[bytes]) -> list[int]:
        """How many statements the engine sees in each text; 0 where it cannot parse it."""
        return list(self._ask("statements", texts))

    def close(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._in.close()
        self._process.wait(30)
        self._out.close()


def _answer(connection: Any, question: tuple[Any, ...]) -> Any:
    kind, sql, *rest = question
    if kind == "statements":
        return [connection.classify_query(text)["statement_count"] for text in sql]
    try:
        if kind == "query":
            return bytes(connection.query(sql, rest[0]).bytes())
        stream, blocks = connection.send_query(sql, rest[0]), []
        while (block := connection.streaming_fetch_result(stream)) is not None and block.size():
            blocks.append(bytes(block.bytes()))
        return blocks
    except (RuntimeError, UnicodeDecodeError) as error:  # its messages quote the statement's bytes as they are
        connection.query("SELECT 1 FORMAT Null")  # takes along what the failed query had written
        return error.object.decode("utf-8", "replace") if isinstance(error, UnicodeDecodeError) else str(error)


def _serve() -> None:
    from chdb import _chdb

    connection = _chdb.connect(":memory:?implicit_select=0")
    while len(head := sys.stdin.buffer.read(_SIZE.size)) == _SIZE.size:
        question = pickle.loads(sys.stdin.buffer.read(_SIZE.unpack(head)[0]))
        _send(sys.stdout.buffer, _answer(connection, question))


if __name__ == "__main__":
    _serve()
