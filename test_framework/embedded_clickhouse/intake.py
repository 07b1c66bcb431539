"""Large bodies: read from the connection by a worker thread, past the HTTP library.

On its way through the event loop, the library's parser and its reader each piece of a body is copied twice and costs
two turns of the loop. For many megabytes this takes longer than the engine needs for the data. So a thread takes what
has come from the socket and gives it to the engine, and the library, which waits for a body of a known length, is
afterwards given as many bytes of no meaning as were taken. It then knows where the next request begins, and whatever
goes wrong is left to it: a client that pauses, goes away, or says less than it announced.
"""

from __future__ import annotations

import contextlib
import select
import socket
from collections.abc import Iterator
from typing import Self, TypeVar

from aiohttp import web

from test_framework.embedded_clickhouse.hops import Call

__all__ = ["Intake"]

_T = TypeVar("_T")
#: What must be still to come.
_WORTHWHILE = 1 << 22
#: Bytes taken at once at most, and those that the system waits for before it says that something has come.
_PIECE, _TOLD_OF = 1 << 20, 1 << 18
#: How long a client may pause before its body is the event loop's again, which needs no thread to wait.
_PATIENCE_MILLISECONDS = 100
#: How often the library is told of what was taken, so that it never takes long.
_TELL_SECONDS = 0.01
_NOTHING = bytes(1 << 18)


class Intake:
    """What is still to come of one body.

    Args:
        request: nobody reads its content now.
        plain: its socket.
        length: of the body.

    ``pieces`` is for a worker thread; ``follow`` must wait for that thread in the event loop.
    """

    def __init__(self, request: web.BaseRequest, plain: socket.socket, length: int) -> None:
        transport = request.transport
        assert transport is not None, "the client has gone"
        self._content, self._protocol, self._transport = request.content, request.protocol, transport
        self._there = []
        while piece := self._content.read_nowait():
            self._there.append(piece)
        # Reading has let the transport go on; from here on nothing but this object reads.
        transport.pause_reading()
        self._left = length - self._content.total_bytes
        #: bytes from the socket, and those of them that the library was told of
        self._taken = self._told = 0
        # A descriptor of our own: the library may close its while the thread waits.
        self._socket = plain.dup()

    @classmethod
    def of(cls, request: web.BaseRequest) -> Self | None:
        """An intake, where so much is still to come that it is worth it."""
        length, transport, content = request.content_length, request.transport, request.content
        if length is None or length - content.total_bytes < _WORTHWHILE or "Transfer-Encoding" in request.headers:
            return None
        if transport is None or transport.is_closing() or content.is_eof() or content.exception() is not None:
            return None
        plain = transport.get_extra_info("socket")
        if plain is None or transport.get_extra_info("sslcontext") is not None:
            return None
        return cls(request, plain, length)

    def pieces(self) -> Iterator[bytes]:
        """The body's bytes as they come, in a worker thread; not all of them when the client pauses or goes away."""
        yield from self._there
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        told_of = 0
        while left := self._left - self._taken:
            if told_of != min(left, _TOLD_OF):
                told_of = min(left, _TOLD_OF)
                self._tell_of(told_of)
            if not poll.poll(_PATIENCE_MILLISECONDS):
                return
            try:
                data = self._socket.recv(min(left, _PIECE))
            except OSError:  # the library will find out
                return
            if not data:
                return
            self._taken += len(data)
            yield data

    async def follow(self, call: Call[_T]) -> _T:
        """Wait for the thread that uses ``pieces``, and give the connection back; its result, or its error raised."""
        try:
            while not call.done():
                await call.wait(_TELL_SECONDS)
                self._tell_library()
            self._tell_library()
        except BaseException:
            # Given up: the thread may be reading still, and the connection is of no use to anybody.
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
            raise
        self._tell_of(1)
        self._socket.close()
        self._transport.resume_reading()
        return call.result()

    def _tell_of(self, number: int) -> None:
        with contextlib.suppress(OSError):  # the client has gone
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, number)

    def _tell_library(self) -> None:
        """Let the library's parser count what the thread has taken up to now."""
        taken = self._taken
        while self._told < taken:
            part = _NOTHING[: taken - self._told]
            self._told += len(part)
            self._protocol.data_received(part)
            self._content.read_nowait()
        if self._told < self._left:
            # Reading lets the transport go on.
            self._transport.pause_reading()
