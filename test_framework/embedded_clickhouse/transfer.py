"""Large answers: written to the connection without a copy on the way.

The HTTP library joins each chunk with its frame, and its event loop copies what the network does not take at once. For
a result of many megabytes these copies cost more than the engine needs to make it. So its bytes go to the socket as
they are, with the frames between them, in one system call for many chunks.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator, Sequence
from typing import Self, TypeAlias

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

__all__ = ["Piece", "Transfer"]

#: A part of a result.
Piece: TypeAlias = "bytes | memoryview[int]"

#: Clients in Python read a chunk of this size into memory that they have; a larger one costs them fresh pages.
_CHUNK = 1 << 16
#: Fewer parts than any system takes in one call.
_PARTS = 512


class Transfer:
    """Writes the chunks of one answer.

    Args:
        response: prepared, with chunked encoding or without.
        writer: what preparing it returned.

    Use as a context manager.
    """

    def __init__(self, response: web.StreamResponse, writer: AbstractStreamWriter) -> None:
        self._response = response
        self._writer = writer
        self._transport = writer.transport
        self._socket: socket.socket | None = None

    def __enter__(self) -> Self:
        transport = self._transport
        plain = transport.get_extra_info("socket") if transport is not None else None
        if plain is not None:
            # A descriptor of our own: the library may close its while a write of ours waits.
            self._socket = plain.dup()
        return self

    def __exit__(self, *_: object) -> None:
        if self._socket is not None:
            self._socket.close()

    async def write(self, pieces: Sequence[Piece]) -> None:
        """Send them; they may be used again afterwards.

        Raises:
            OSError: the client has gone.
        """
        if self._socket is None:
            for piece in pieces:
                if piece:
                    await self._response.write(piece)
            return
        await self._overtaken()
        parts = list(_framed(pieces) if self._response.chunked else pieces)
        for at in range(0, len(parts), _PARTS):
            await self._send(self._socket, parts[at : at + _PARTS])

    async def _overtaken(self) -> None:
        """Wait until what the library was given before, the headers, is with the system."""
        transport = self._transport
        assert transport is not None
        self._writer.send_headers()
        if transport.get_write_buffer_size():
            transport.set_write_buffer_limits(high=0)
            await self._writer.drain()
            transport.set_write_buffer_limits()
        if transport.is_closing():
            raise ConnectionResetError("the client has gone")

    async def _send(self, connection: socket.socket, parts: list[Piece]) -> None:
        left = sum(map(len, parts))
        while left:
            try:
                sent = connection.sendmsg(parts)
            except BlockingIOError:
                await _writable(connection)
                continue
            left -= sent
            if left:
                parts = _after(parts, sent)
                await _writable(connection)


async def _writable(connection: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_writer(connection, wake)
    try:
        await ready
    finally:
        loop.remove_writer(connection)


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
