"""A small client of ClickHouse's HTTP interface for administration and health, with errors translated once.

The standard library's client in a thread: loading an asynchronous one takes 0.3 s, more than a warm start may take.
Credentials go into headers, never into a URL.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import re
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from urllib.parse import urlencode

from test_framework.endpoints import ClickHouseEndpoint
from test_framework.services.asking import ask_server, diagnose_socket, probe_server
from test_framework.services.base import Answer, Diagnosis, Health, Probe, SeedState

__all__ = ["CONTROL_DATABASE", "ClickHouseClient", "ClickHouseReplyError", "ask", "connect", "diagnose", "probe"]

T = TypeVar("T")

# Holds the record of what is loaded, so that the working database holds the user's tables and nothing else.
CONTROL_DATABASE = "tf_control"
# Where a database waits while its successor is built.
OLD_PREFIX = "tf_old_"
_CODE = re.compile(r"Code:\s*(\d+)")
# Wrong password, unknown user, required password, not enough privileges at log-in.
_REFUSED = {192, 193, 194, 516}
_NOT_THERE = {60, 81, 497}  # UNKNOWN_TABLE, UNKNOWN_DATABASE, and ACCESS_DENIED: not ours to look at

_PROBE = """
SELECT version(),
       (SELECT value FROM system.metrics WHERE metric = 'MemoryTracking'),
       (SELECT sum(value) FROM system.metrics WHERE metric IN ('HTTPConnection', 'TCPConnection'))
"""
_SEED = f"""
SELECT state, stack_id, (SELECT count() FROM system.databases WHERE name = concat('{OLD_PREFIX}', {{database:String}}))
FROM {CONTROL_DATABASE}.seeds
WHERE database_uuid IN (SELECT uuid FROM system.databases WHERE name = {{database:String}})
  AND database_uuid != toUUID('00000000-0000-0000-0000-000000000000')
ORDER BY noted_at DESC LIMIT 1
"""


def quote_identifier(name: str) -> str:
    """``name`` as an SQL identifier, whatever is in it."""
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


class ClickHouseReplyError(Exception):
    """The server answered with an exception. ``code`` is ClickHouse's own number, 0 where it gave none."""

    def __init__(self, text: str, status: int) -> None:
        found = _CODE.search(text)
        self.code = int(found[1]) if found else 0
        self.status = status
        super().__init__(text.strip() or f"HTTP status {status}")


def quote_text(value: str) -> str:
    """``value`` as an SQL text, whatever is in it."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def escape_parameter(value: str) -> str:
    """A parameter's text goes through the parser of tab separated values first."""
    return value.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")


class ClickHouseClient:
    """One connection, kept open between requests. Not for concurrent use."""

    def __init__(self, endpoint: ClickHouseEndpoint, timeout: float) -> None:
        self._endpoint = endpoint
        self._timeout = timeout
        self._headers = {"X-ClickHouse-User": endpoint.user, "X-ClickHouse-Key": endpoint.password.reveal()}
        self._http: http.client.HTTPConnection
        if endpoint.secure:
            context = ssl.create_default_context(cafile=endpoint.ca_cert)
            self._http = http.client.HTTPSConnection(endpoint.host, endpoint.port, timeout=timeout, context=context)
        else:
            self._http = http.client.HTTPConnection(endpoint.host, endpoint.port, timeout=timeout)

    def another(self) -> ClickHouseClient:
        """A second connection, for what is to happen while this one waits for an answer."""
        return ClickHouseClient(self._endpoint, self._timeout)

    async def execute(
        self, sql: str, *, body: bytes = b"", database: str | None = None, settings: dict[str, str] | None = None
    ) -> bytes:
        """Run one statement and return what it printed. ``body`` is data for an ``INSERT … FORMAT``.

        Raises:
            ClickHouseReplyError: the server refused it.
        """
        parameters = dict(settings or {})
        if database is not None:
            parameters["database"] = database
        if body:
            parameters["query"] = sql
        try:
            return await asyncio.to_thread(self._post, urlencode(parameters), body or sql.encode())
        except asyncio.CancelledError:
            self.close()  # the thread still waits for an answer that nobody wants
            raise

    async def rows(
        self, sql: str, parameters: dict[str, str] | None = None, *, database: str | None = None
    ) -> list[list[Any]]:
        """The rows of one query; ``{name:Type}`` in it takes its value from ``parameters``."""
        settings = {f"param_{name}": escape_parameter(value) for name, value in (parameters or {}).items()}
        settings["default_format"] = "JSONCompact"
        data: list[list[Any]] = json.loads(await self.execute(sql, database=database, settings=settings))["data"]
        return data

    def _post(self, query: str, body: bytes) -> bytes:
        self._http.request("POST", f"/?{query}", body, self._headers)
        response = self._http.getresponse()
        text = response.read()
        if response.status != 200 or response.headers.get("X-ClickHouse-Exception-Code"):
            raise ClickHouseReplyError(text.decode("utf-8", "replace"), response.status)
        return text

    def close(self) -> None:
        """Close the connection, and with it whatever a thread still waits for on it."""
        if self._http.sock is not None:
            with contextlib.suppress(OSError):
                self._http.sock.shutdown(socket.SHUT_RDWR)
        self._http.close()


@asynccontextmanager
async def connect(endpoint: ClickHouseEndpoint, *, timeout: float) -> AsyncIterator[ClickHouseClient]:
    """A client whose socket waits at most ``timeout`` seconds. Connects with its first request."""
    client = ClickHouseClient(endpoint, timeout)
    try:
        yield client
    finally:
        client.close()


async def ask(endpoint: ClickHouseEndpoint, timeout: float, question: Callable[[], Awaitable[T]]) -> T:
    """``await question()`` within ``timeout`` seconds.

    Raises:
        ServiceUnavailable: or ``AuthenticationRefused``, for every error of the connection.
    """
    return await ask_server("clickhouse", endpoint.address, timeout, question, diagnose)


def diagnose(error: BaseException) -> Diagnosis:
    """A failed statement or connection in our words."""
    if isinstance(error, ClickHouseReplyError):
        if error.code in _REFUSED or error.status in (401, 403):
            return Diagnosis(
                health=Health.REFUSED,
                cause=str(error),
                fix="check TEST_CLICKHOUSE_USER and TEST_CLICKHOUSE_PASSWORD (environment, .env.test)",
            )
        return Diagnosis(health=Health.FAILED, cause=str(error))
    if isinstance(error, http.client.HTTPException | json.JSONDecodeError):
        return Diagnosis(
            health=Health.FAILED, cause=f"this is not ClickHouse's HTTP interface: {type(error).__name__}: {error}"
        )
    return diagnose_socket(error) or Diagnosis(health=Health.FAILED, cause=f"{type(error).__name__}: {error}")


async def probe(endpoint: ClickHouseEndpoint, timeout: float) -> Probe:
    """Connect anew, which proves that the server accepts, and ask two questions."""

    async def question() -> Answer:
        async with connect(endpoint, timeout=timeout) as client:
            ((version, memory, connections),) = await client.rows(_PROBE)
            seed = await read_seed(client, endpoint.database)
        return Answer(version=version, memory_bytes=int(memory), connections=int(connections), seed=seed)

    return await probe_server("clickhouse", endpoint.address, timeout, question, diagnose)


async def seed_state(endpoint: ClickHouseEndpoint, timeout: float) -> SeedState | None:
    """What the working database holds, or ``None``."""

    async def question() -> SeedState | None:
        async with connect(endpoint, timeout=timeout) as client:
            return await read_seed(client, endpoint.database)

    return await ask(endpoint, timeout, question)


async def read_seed(client: ClickHouseClient, database: str) -> SeedState | None:
    """The record of ``database`` as it is now: it goes by UUID, so a database made anew has none."""
    try:
        rows = await client.rows(_SEED, {"database": database})
    except ClickHouseReplyError as error:
        if error.code in _NOT_THERE:
            return None  # nobody ever seeded this server
        raise
    return SeedState.from_json(rows[0][0], rows[0][1], tidy=int(rows[0][2]) == 0) if rows else None
