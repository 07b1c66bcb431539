"""Large answers: written to the connection by a worker thread, without a copy on the way.

The HTTP library joins each chunk with its frame, its event loop copies what the network does not take at once, and each
turn of the loop is one more moment at which neither the engine nor the client works. For a result of many megabytes
this costs more than the engine needs to make it. So the thread that gets the bytes from the engine puts them on the
socket as they are, with the frames between them, in one system call for many chunks.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
from collections.abc import Iterator, Sequence
from typing import IO, Protocol, Self, TypeAlias

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

__all__ = ["Piece", "Sink", "Transfer"]

#: A part of a result.
Piece: TypeAlias = "bytes | memoryview[int]"

#: Clients in Python read a chunk of this size into memory that they have; a larger one costs them fresh pages.
_CHUNK = 1 << 16
#: Fewer parts than any system takes in one call.
_PARTS = 512
#: Bytes of a file in one call.
_FILE_PART = 1 << 24


class Sink(Protocol):
    """Where the bytes of a large result go. Used from one worker thread."""

    def write(self, pieces: Sequence[Piece]) -> None:
        """Take them; they may be used again afterwards.

        Raises:
            OSError: they cannot be taken any more.
        """


class Transfer:
    """Writes the chunks of one answer; a ``Sink``. An answer that is given up breaks its connection.

    Args:
        response: prepared, with chunked encoding or without.
        writer: what preparing it returned.

    Use as a context manager.

    Raises:
        OSError: the client has gone.
    """

    def __init__(self, response: web.StreamResponse, writer: AbstractStreamWriter) -> None:
        self._chunked = response.chunked
        self._writer = writer
        transport = writer.transport
        plain = transport.get_extra_info("socket") if transport is not None else None
        if transport is None or plain is None or transport.is_closing():
            raise ConnectionResetError("the client has gone")
        self._transport = transport
        # A descriptor of our own: the library may close its while a write of ours waits.
        self._socket: socket.socket = plain.dup()
        self._writing = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is not None:
            # A thread may be writing still; this wakes it.
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
        with self._writing:
            self._socket.close()

    async def ready(self) -> None:
        """Wait until what the library was given before, the headers, is with the system."""
        self._writer.send_headers()
        if self._transport.get_write_buffer_size():
            self._transport.set_write_buffer_limits(high=0)
            await self._writer.drain()
            self._transport.set_write_buffer_limits()
        if self._transport.is_closing():
            raise ConnectionResetError("the client has gone")

    def write(self, pieces: Sequence[Piece], file: IO[bytes] | None = None) -> None:
        """Send them, and then a whole file, in a worker thread.

        Args:
            file: only for an answer that is not chunked.

        Raises:
            OSError: the client has gone, or the answer was given up.
        """
        parts = list(_framed(pieces) if self._chunked else pieces)
        with self._writing:
            for at in range(0, len(parts), _PARTS):
                self._send(parts[at : at + _PARTS])
            if file is not None:
                self._send_file(file.fileno())

    def _send(self, parts: list[Piece]) -> None:
        left = sum(map(len, parts))
        while left:
            try:
                sent = self._socket.sendmsg(parts)
            except BlockingIOError:
                self._wait()
                continue
            left -= sent
            if left:
                parts = _after(parts, sent)

    def _send_file(self, file: int) -> None:
        at = 0
        while True:
            try:
                sent = os.sendfile(self._socket.fileno(), file, at, _FILE_PART)
            except BlockingIOError:
                self._wait()
                continue
            if not sent:
                return
            at += sent

    def _wait(self) -> None:
        poll = select.poll()
        poll.register(self._socket, select.POLLOUT)
        poll.poll()


def _framed(pieces: Sequence[Piece]) -> Iterator[Piece]:
    """Chunks of HTTP, none larger than clients like it."""
    for piece in pieces:
        view = piece if isinstance(piece, memoryview) else memoryview(piece)
        for at in range(0, len(view), _CHUNK):
            chunk = view[at : at + _CHUNK]
            yield b"%x\r\n" % len(chunk)
            yield chunk
            yield b"\r\n"


def _after(parts: list[Piece], sent: int) -> list[Piece]:
    """What is left of ``parts`` behind the first ``sent`` bytes."""
    for number, part in enumerate(parts):
        if sent < len(part):
            return [memoryview(part)[sent:], *parts[number + 1 :]]
        sent -= len(part)
    return []
