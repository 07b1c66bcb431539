"""Large answers on their way past the HTTP library."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import HttpVersion11, web

from test_framework.embedded_clickhouse.transfer import Transfer
from tests.unit.embedded_clickhouse.listening import listening

PIECES = [bytes([number % 251]) * (number * 977 % 200_000) for number in range(200)]
WHOLE = b"".join(PIECES)

Work = Callable[[Transfer], None]


@asynccontextmanager
async def serving(work: Work, ended: asyncio.Queue[BaseException | None] | None = None) -> AsyncIterator[int]:
    """An HTTP server whose answers ``work`` writes; its port. How each answer ended is put into ``ended``."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        if request.version >= HttpVersion11:
            response.enable_chunked_encoding()
        writer = await response.prepare(request)
        assert writer is not None
        try:
            with Transfer(response, writer) as transfer:
                await transfer.ready()
                await asyncio.to_thread(work, transfer)
        except BaseException as error:
            if ended is not None:
                ended.put_nowait(error)
            raise
        await response.write_eof()
        return response

    async with listening(answer) as port:
        yield port


def send_all(transfer: Transfer) -> None:
    transfer.write(PIECES)
    for piece in PIECES:
        transfer.write([memoryview(piece), b""])


async def test_what_is_written_arrives_in_order_and_the_connection_lives_on() -> None:
    async with serving(send_all) as port, aiohttp.ClientSession() as session:
        for _ in range(3):
            async with session.get(f"http://127.0.0.1:{port}") as response:
                assert await response.read() == WHOLE * 2


async def test_a_client_of_http_1_0_gets_the_bytes_without_frames() -> None:
    async with serving(send_all) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        assert b"chunked" not in head.lower()
        assert body == WHOLE * 2
        writer.close()


async def test_answers_to_requests_sent_at_once_follow_each_other_whole() -> None:
    async with serving(send_all) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 10)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 2 + b"GET / HTTP/1.0\r\n\r\n")
        for _ in range(2):
            assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
            body = bytearray()
            while size := int(await reader.readline(), 16):
                body += await reader.readexactly(size)
                assert await reader.readexactly(2) == b"\r\n"
            assert await reader.readexactly(2) == b"\r\n"
            assert body == WHOLE * 2
        assert (await reader.read()).partition(b"\r\n\r\n")[2] == WHOLE * 2
        writer.close()


async def test_a_client_that_does_not_read_holds_the_writer_back() -> None:
    written = 0

    def endless(transfer: Transfer) -> None:
        nonlocal written
        while True:
            transfer.write([bytes(1 << 20)])
            written += 1

    ended: asyncio.Queue[BaseException | None] = asyncio.Queue()
    async with serving(endless, ended) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 10)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        before = -1
        async with asyncio.timeout(60):
            while written != before or not written:
                before = written
                await asyncio.sleep(0.2)
        assert written < 64
        # Going away frees it.
        writer.transport.abort()
        async with asyncio.timeout(60):
            assert isinstance(await ended.get(), (OSError, asyncio.CancelledError))


async def test_a_descriptor_is_given_back_for_each_answer() -> None:
    descriptors: list[int] = []

    def note(transfer: Transfer) -> None:
        transfer.write([b"x"])
        one, other = socket.socketpair()
        descriptors.append(one.fileno())
        one.close()
        other.close()

    async with serving(note) as port, aiohttp.ClientSession() as session:
        for _ in range(5):
            async with session.get(f"http://127.0.0.1:{port}") as response:
                assert await response.read() == b"x"
    assert len(set(descriptors)) == 1
