"""Large bodies on their way past the HTTP library."""

from __future__ import annotations

import asyncio
import hashlib
import socket
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from itertools import islice

import pytest
from aiohttp import web

from test_framework.embedded_clickhouse.hops import Call
from test_framework.embedded_clickhouse.intake import Intake
from tests.unit.embedded_clickhouse.listening import listening

BODY = b"".join(b"%08d" % number for number in range(900_000))
HEAD = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n"

Work = Callable[[Iterable[bytes]], bytes]


@asynccontextmanager
async def serving(work: Work) -> AsyncIterator[int]:
    """An HTTP server that answers with what ``work`` makes of the body; its port.

    It says, too, how many bytes came past the library, and how many by way of it.
    """
    executor = ThreadPoolExecutor(4)

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        first = await request.content.readany()
        intake = Intake.of(request)
        if intake is None:
            rest = first + await request.content.read()
            return web.Response(body=work([rest]), headers={"X-Library": str(len(rest))})
        past: list[int] = []
        made = await intake.follow(Call(executor, partial(work, noted([first], past, intake.pieces()))))
        rest = await request.content.read()
        return web.Response(body=made, headers={"X-Past": str(sum(past)), "X-Library": str(len(rest))})

    try:
        async with listening(answer, read_bufsize=1 << 20) as port:
            yield port
    finally:
        executor.shutdown()


def noted(first: Iterable[bytes], sizes: list[int], pieces: Iterable[bytes]) -> Iterable[bytes]:
    yield from first
    for piece in pieces:
        sizes.append(len(piece))
        yield piece


def digest(pieces: Iterable[bytes]) -> bytes:
    """The digest of a body."""
    found = hashlib.sha256()
    for piece in pieces:
        found.update(piece)
    return found.hexdigest().encode()


async def read_answer(reader: asyncio.StreamReader) -> tuple[dict[str, str], bytes]:
    lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[1:-2]
    headers = dict(line.split(": ", 1) for line in lines)
    return headers, await reader.readexactly(int(headers["Content-Length"]))


async def test_the_body_arrives_whole_and_the_next_requests_are_read_from_their_beginning() -> None:
    async with serving(digest) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        # All at once, so that the next request is there before the body has been read.
        sizes = [len(BODY), 11, len(BODY) - 1, 0, len(BODY)]
        for size in sizes:
            writer.write(HEAD.format(size).encode() + BODY[:size])
        for size in sizes:
            headers, body = await read_answer(reader)
            assert body == digest([BODY[:size]])
            assert ("X-Past" in headers) == (size > len(BODY) // 2)
        writer.close()


async def test_a_client_that_pauses_gets_its_thread_taken_away_and_is_read_on() -> None:
    async with serving(len_of) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HEAD.format(len(BODY)).encode() + BODY[:2_000_000])
        await asyncio.sleep(0.5)
        writer.write(BODY[2_000_000:])
        headers, body = await read_answer(reader)
        # The thread ended at the pause; all the rest came by way of the library.
        assert int(body) < 2_000_001
        assert int(headers["X-Library"]) + int(body) == len(BODY)
        writer.close()


def len_of(pieces: Iterable[bytes]) -> bytes:
    return b"%d" % sum(map(len, pieces))


@pytest.mark.parametrize("pieces_before", [2, 10**6])
async def test_work_that_fails_leaves_the_rest_of_the_body_to_the_library(pieces_before: int) -> None:
    def fail(pieces: Iterable[bytes]) -> bytes:
        if [piece for piece in islice(pieces, pieces_before) if piece]:
            raise web.HTTPConflict
        return b"nothing was sent"

    async with serving(fail) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HEAD.format(len(BODY)).encode() + BODY + HEAD.format(0).encode())
        assert b" 409 " in await reader.readline()
        await read_answer(reader)
        assert (await read_answer(reader))[1] == b"nothing was sent"
        writer.close()


async def test_a_client_that_goes_away_ends_the_thread() -> None:
    ended: asyncio.Queue[int] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def count(pieces: Iterable[bytes]) -> bytes:
        size = sum(map(len, pieces))
        loop.call_soon_threadsafe(ended.put_nowait, size)
        return b""

    async with serving(count) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HEAD.format(len(BODY)).encode() + BODY[:3_000_000])
        await writer.drain()
        writer.transport.abort()
        async with asyncio.timeout(60):
            assert await ended.get() <= 3_000_000


async def test_a_descriptor_is_given_back_for_each_body() -> None:
    descriptors: list[int] = []

    def note(pieces: Iterable[bytes]) -> bytes:
        one, other = socket.socketpair()
        descriptors.append(one.fileno())
        one.close()
        other.close()
        return digest(pieces)

    async with serving(note) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(4):
            writer.write(HEAD.format(len(BODY)).encode() + BODY)
            assert (await read_answer(reader))[1] == digest([BODY])
        writer.close()
    assert len(set(descriptors)) == 1


@pytest.mark.parametrize("size", [1, 1 << 16, 3 << 20])
async def test_a_small_body_needs_no_thread(size: int) -> None:
    async with serving(digest) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HEAD.format(size).encode() + BODY[:size])
        headers, body = await read_answer(reader)
        assert (headers["X-Library"], body) == (str(size), digest([BODY[:size]]))
        writer.close()


async def test_a_body_in_chunks_is_the_librarys() -> None:
    async with serving(digest) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        writer.write(head.encode() + b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY))
        headers, body = await read_answer(reader)
        assert (headers["X-Library"], body) == (str(len(BODY)), digest([BODY]))
        writer.close()
