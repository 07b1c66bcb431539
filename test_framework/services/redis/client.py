"""A small client of the Redis protocol for administration and health, with errors translated once.

Tests get ``redis.asyncio``. What the command line, the seeder and the monitor ask is a handful of commands, and
loading that package takes 0.3 s, more than everything else they do on a warm start together.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from test_framework.endpoints import RedisEndpoint
from test_framework.services.asking import ask_server, diagnose_socket, probe_server
from test_framework.services.base import MARK, Answer, Diagnosis, Health, Probe, SeedState

__all__ = ["MARKER_KEY", "RedisClient", "RedisReplyError", "ask", "connect", "diagnose", "probe"]

T = TypeVar("T")
Argument = str | bytes | int | float

# A hash: what is loaded in this database, and which keys it put there.
MARKER_KEY = f"{MARK}:seed"
_REFUSED = ("NOAUTH", "WRONGPASS", "NOPERM")
_LIMIT = 512 * 1024 * 1024  # the largest value Redis itself stores


class RedisReplyError(Exception):
    """The server answered ``-CODE text``."""

    @property
    def code(self) -> str:
        """The first word: ``WRONGTYPE``, ``NOAUTH``, ``ERR`` …"""
        return str(self).split(" ", 1)[0]


class RedisClient:
    """One connection. Not for concurrent use."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def call(self, *command: Argument) -> Any:
        """Send one command and return its reply; bulk strings come as ``bytes``.

        Raises:
            RedisReplyError: the server refused it.
        """
        return (await self.pipeline([command]))[0]

    async def pipeline(self, commands: Sequence[Sequence[Argument]]) -> list[Any]:
        """Send all ``commands`` at once and return their replies.

        Raises:
            RedisReplyError: the first refusal, after all replies were read.
        """
        # Writing and reading go on together: with both sides' buffers full of a large seed neither would move on.
        writing = asyncio.ensure_future(self._write(commands))
        try:
            replies = [await self._read() for _ in commands]
            await writing
        finally:
            writing.cancel()
        for reply in replies:
            if isinstance(reply, RedisReplyError):
                raise reply
        return replies

    async def _write(self, commands: Sequence[Sequence[Argument]]) -> None:
        for command in commands:
            self._writer.write(_encode(command))
            await self._writer.drain()

    async def _read(self) -> Any:
        line = await self._reader.readuntil(b"\r\n")
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest.decode()
        if kind == b"-":
            return RedisReplyError(rest.decode("utf-8", "replace"))
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return await self._read_bulk(int(rest))
        if kind == b"*":
            return None if rest == b"-1" else [await self._read() for _ in range(int(rest))]
        raise RedisReplyError(f"PROTOCOL this is not a Redis server: it sent {line[:40]!r}")

    async def _read_bulk(self, length: int) -> bytes | None:
        if length < 0:
            return None
        data = await self._reader.readexactly(length + 2)
        return data[:-2]

    async def close(self) -> None:
        """Close the connection; harmless when the server already did."""
        self._writer.close()
        try:
            async with asyncio.timeout(1.0):
                await self._writer.wait_closed()
        except (TimeoutError, OSError):
            pass


def _encode(command: Sequence[Argument]) -> bytes:
    parts = [b"*%d\r\n" % len(command)]
    for argument in command:
        data = argument if isinstance(argument, bytes) else str(argument).encode()
        parts.append(b"$%d\r\n%s\r\n" % (len(data), data))
    return b"".join(parts)


@asynccontextmanager
async def connect(endpoint: RedisEndpoint) -> AsyncIterator[RedisClient]:
    """An authenticated connection on the endpoint's database. Bound it in time: :func:`ask`."""
    reader, writer = await asyncio.open_connection(
        endpoint.host, endpoint.port, ssl=_tls(endpoint) if endpoint.ssl else None, limit=1024 * 1024
    )
    client = RedisClient(reader, writer)
    try:
        greeting: list[Sequence[Argument]] = []
        if endpoint.password:
            greeting.append(("AUTH", endpoint.password.reveal()))
        greeting.append(("CLIENT", "SETNAME", f"{MARK}:admin"))
        if endpoint.database:
            greeting.append(("SELECT", endpoint.database))
        await client.pipeline(greeting)
        yield client
    finally:
        await client.close()


def _tls(endpoint: RedisEndpoint) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=endpoint.ssl_ca_certs)


async def ask(endpoint: RedisEndpoint, timeout: float, question: Callable[[], Awaitable[T]]) -> T:
    """``await question()`` within ``timeout`` seconds.

    Raises:
        ServiceUnavailable: or ``AuthenticationRefused``, for every error of the connection.
    """
    return await ask_server("redis", endpoint.address, timeout, question, diagnose)


def diagnose(error: BaseException) -> Diagnosis:
    """A failed command or connection in our words."""
    if isinstance(error, RedisReplyError):
        if error.code in _REFUSED or "without any password" in str(error):
            return Diagnosis(
                health=Health.REFUSED, cause=str(error), fix="check TEST_REDIS_PASSWORD (environment, .env.test)"
            )
        return Diagnosis(health=Health.FAILED, cause=str(error))
    return diagnose_socket(error) or Diagnosis(health=Health.FAILED, cause=f"{type(error).__name__}: {error}")


async def probe(endpoint: RedisEndpoint, timeout: float) -> Probe:
    """Connect anew, which proves that the server accepts, and ask everything in one round trip."""

    async def question() -> Answer:
        async with connect(endpoint) as client:
            server, memory, clients, seed = await client.pipeline(
                [("INFO", "server"), ("INFO", "memory"), ("INFO", "clients"), read_marker_command()]
            )
        info = _parse_info(server + memory + clients)
        return Answer(
            version=info["redis_version"],
            memory_bytes=int(info["used_memory"]),
            connections=int(info["connected_clients"]),
            seed=parse_marker(seed),
        )

    return await probe_server("redis", endpoint.address, timeout, question, diagnose)


async def seed_state(endpoint: RedisEndpoint, timeout: float) -> SeedState | None:
    """What this database holds, or ``None``."""

    async def question() -> SeedState | None:
        async with connect(endpoint) as client:
            return parse_marker(await client.call(*read_marker_command()))

    return await ask(endpoint, timeout, question)


def read_marker_command() -> tuple[str, ...]:
    """Ask for the record without its list of keys, which may be long."""
    return ("HMGET", MARKER_KEY, "state", "stack_id")


def parse_marker(reply: Sequence[bytes | None]) -> SeedState | None:
    """What :func:`read_marker_command` brought."""
    state, stack_id = (part.decode("utf-8", "replace") if part else "" for part in reply)
    return SeedState.from_json(state, stack_id)


def _parse_info(text: bytes) -> dict[str, str]:
    lines = (line.partition(":") for line in text.decode("utf-8", "replace").splitlines())
    return {name: value for name, colon, value in lines if colon}
