"""redis-py's asynchronous client for tests: guarded, and with prefixed keys where databases are shared."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import redis
from redis.asyncio import Connection, ConnectionPool, Redis, SSLConnection

from test_framework.endpoints import RedisEndpoint
from test_framework.services.redis.guard import MARKER, RefusedCommand, check_command
from test_framework.services.redis.isolation import KEPT_CLIENT
from test_framework.services.redis.prefix import CommandKeys, Rewriter, parse_command_table

__all__ = ["MARKER", "RefusedCommand", "make_client", "make_pool"]

_TIMEOUT = 10.0
_tables: dict[str, Mapping[bytes, CommandKeys]] = {}
_tables_lock = threading.Lock()


class _Isolation:
    """What our connections do where a command becomes bytes, and where bytes become a reply."""

    def __init__(self, *, guarded: bool = True, rewriter: Rewriter | None = None, **options: Any) -> None:
        self._guarded = guarded
        self._rewriter = rewriter
        super().__init__(**options)

    def pack_command(self, *args: Any) -> Any:
        words = args[0].encode().split() if isinstance(args[0], str) else bytes(args[0]).split()
        encode = self.encoder.encode  # type: ignore[attr-defined]
        arguments = [*words, *(bytes(encode(each)) for each in args[1:])]
        if self._guarded:
            check_command(arguments, database=self.db)  # type: ignore[attr-defined]
        if self._rewriter is not None:
            arguments = self._rewriter.rewrite(arguments)
        return super().pack_command(*arguments)  # type: ignore[misc]

    async def read_response(self, *args: Any, **options: Any) -> Any:
        reply = await super().read_response(*args, **options)  # type: ignore[misc]
        return reply if self._rewriter is None else self._rewriter.restore(reply)


class IsolatedConnection(_Isolation, Connection):
    """A connection over TCP."""


class IsolatedSSLConnection(_Isolation, SSLConnection):
    """A connection over TLS."""


def make_pool(
    endpoint: RedisEndpoint,
    *,
    key_prefix: str | None = None,
    guarded: bool = True,
    kept: bool = False,
    pool_class: type[ConnectionPool] = ConnectionPool,
    **options: Any,
) -> ConnectionPool:
    """A pool of isolated connections to ``endpoint``. Nothing is opened, but in prefix mode the server is asked once.

    Args:
        key_prefix: what all keys of this owner begin with.
        guarded: refuse commands that reach other tests.
        kept: the connections outlive a test; others are closed when its database is given back.
        options: anything else that a connection of redis-py takes.
    """
    rewriter = None if key_prefix is None else Rewriter(key_prefix, _table_of(endpoint))
    tls = {"ssl_ca_certs": endpoint.ssl_ca_certs} if endpoint.ssl else {}
    values = {
        "host": endpoint.host,
        "port": endpoint.port,
        "password": endpoint.password.reveal() or None,
        "db": endpoint.database,
        "decode_responses": True,
        "client_name": KEPT_CLIENT if kept else None,
        **tls,
        **options,
    }
    kind = IsolatedSSLConnection if endpoint.ssl else IsolatedConnection
    return pool_class(connection_class=kind, guarded=guarded, rewriter=rewriter, **values)


def make_client(
    endpoint: RedisEndpoint,
    *,
    key_prefix: str | None = None,
    guarded: bool = True,
    kept: bool = False,
    connection_pool: ConnectionPool | None = None,
    **options: Any,
) -> Redis:
    """A client of ``endpoint`` with decoded replies; see :func:`make_pool` for the arguments.

    Args:
        connection_pool: one that :func:`make_pool` made; the client then does not close it.
    """
    if connection_pool is not None:
        return Redis(connection_pool=connection_pool)
    pool = make_pool(endpoint, key_prefix=key_prefix, guarded=guarded, kept=kept, **options)
    return Redis.from_pool(pool)


def _table_of(endpoint: RedisEndpoint) -> Mapping[bytes, CommandKeys]:
    """Where the server's commands have their keys; asked once per server and process."""
    with _tables_lock:
        if endpoint.address not in _tables:
            with redis.Redis.from_url(endpoint.url, socket_timeout=_TIMEOUT, protocol=2) as client:
                client.set_response_callback("COMMAND", lambda reply, **_: reply)
                _tables[endpoint.address] = parse_command_table(client.execute_command("COMMAND"))
        return _tables[endpoint.address]
