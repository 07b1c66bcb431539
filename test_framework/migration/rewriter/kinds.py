"""Which service a mock stands in for, and what a call of it means to that service."""

from __future__ import annotations

import re
from collections.abc import Iterable

from test_framework.migration.rewriter.values import Root

__all__ = ["HTTP_METHODS", "REDIS_METHODS", "kind_of", "normal", "words"]

_ROWS = frozenset({"fetchrow", "fetchval", "fetch", "executemany", "acquire", "fetchmany"})
_STATEMENTS = _ROWS | {"execute", "transaction", "close", "release", "prepare", "cursor"}
REDIS_METHODS = frozenset(
    [
        "get",
        "set",
        "setex",
        "psetex",
        "setnx",
        "delete",
        "exists",
        "expire",
        "pexpire",
        "ttl",
        "pttl",
        "persist",
        "incr",
        "incrby",
        "decr",
        "decrby",
        "mget",
        "mset",
        "append",
        "hget",
        "hset",
        "hgetall",
        "hdel",
        "hexists",
        "hincrby",
        "hkeys",
        "hvals",
        "hlen",
        "hmget",
        "hmset",
        "hsetnx",
        "lpush",
        "rpush",
        "lpop",
        "rpop",
        "lrange",
        "llen",
        "ltrim",
        "lrem",
        "lindex",
        "sadd",
        "srem",
        "smembers",
        "sismember",
        "scard",
        "zadd",
        "zrem",
        "zrange",
        "zrevrange",
        "zscore",
        "zcard",
        "zincrby",
        "zrangebyscore",
        "publish",
        "pipeline",
        "ping",
        "keys",
        "scan",
        "scan_iter",
        "flushdb",
        "getdel",
        "getset",
        "getex",
        "close",
        "aclose",
        "unlink",
        "rename",
        "type",
        "strlen",
        "execute",
    ]
)
_REDIS_ONLY = frozenset(
    [
        "setex",
        "psetex",
        "setnx",
        "expire",
        "ttl",
        "incr",
        "incrby",
        "hget",
        "hset",
        "hgetall",
        "hdel",
        "hexists",
        "lpush",
        "rpush",
        "lrange",
        "ltrim",
        "sadd",
        "srem",
        "smembers",
        "sismember",
        "zadd",
        "zrange",
        "zscore",
        "publish",
        "getdel",
        "mget",
    ]
)
_CLICKHOUSE = frozenset({"execute", "query", "command", "insert", "close", "get_table_name", "result_rows"})

HTTP_METHODS = frozenset({"get", "post", "put", "patch", "delete", "head", "options", "request"})
_HTTP = HTTP_METHODS | {"close", "aclose", "headers", "cookies", "base_url", "stream", "send", "build_request"}

_WEBSOCKET_ONLY = frozenset({"send_json", "receive_json", "send_text", "receive_text", "send_bytes", "receive_bytes"})
_WEBSOCKET = _WEBSOCKET_ONLY | {"send", "recv", "receive", "accept", "close", "iter_json", "iter_text", "client_state"}

# How a connection is reached from a pool, and a batch from a client.
_PREFIXES = (
    ("acquire", "()", "__aenter__", "()"),
    ("acquire", "()"),
    ("connection", "()", "__aenter__", "()"),
    ("pipeline", "()", "__aenter__", "()"),
    ("pipeline", "()"),
    ("__aenter__", "()"),
    ("__enter__", "()"),
)


def words(text: str) -> set[str]:
    """The words of names in snake and camel case."""
    return {each.lower() for each in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", text)}


def kind_of(root: Root, methods: Iterable[str], *, asks_urls: bool = False) -> str | None:
    """``postgres``, ``redis``, ``clickhouse``, ``websocket``, ``http``, or ``None`` for what is not ours.

    Args:
        asks_urls: it is called with addresses.
    """
    used = set(methods)
    if asks_urls and used <= _HTTP:
        return "http"
    if used & _WEBSOCKET_ONLY and used <= _WEBSOCKET:
        return "websocket"
    for text in (root.spec, root.target, " ".join([*root.names, root.given_by])):
        found = _by_words(words(text), used)
        if found:
            return found
    if used & _ROWS and used <= _STATEMENTS:
        return "postgres"
    if used & _REDIS_ONLY and used <= REDIS_METHODS:
        return "redis"
    return None


def _by_words(said: set[str], used: set[str]) -> str | None:
    if "redis" in said or "aioredis" in said:
        return "redis"
    if "clickhouse" in said or (said & {"ch"} and used & {"execute", "query", "insert"}):
        return "clickhouse"
    if said & {"asyncpg", "postgres", "postgresql", "pg", "psycopg"}:
        return "postgres"
    if said & {"websocket", "ws", "websockets"} or (said & {"socket"} and used & {"recv", "send", "accept"}):
        return "websocket"
    if said & {"httpx", "aiohttp"} or {"http", "client"} <= said or {"http", "session"} <= said:
        return "http"
    if said & {"http", "api"} and used & HTTP_METHODS and used <= _HTTP:
        return "http"
    if said & {"db", "database", "conn", "connection", "pool", "cursor", "repo", "tx"} and used & (
        _STATEMENTS - {"close"}
    ):
        return "postgres"
    if "cache" in said and used & _REDIS_ONLY and used <= REDIS_METHODS:
        return "redis"
    return None


def normal(path: tuple[str, ...]) -> tuple[str, str | None]:
    """How the service is reached (``""``, ``pool``, ``pipeline``) and the driver's method, if it is one."""
    rest = path[1:] if path[:1] == ("()",) else path
    through = ""
    for prefix in _PREFIXES:
        if rest[: len(prefix)] == prefix and len(rest) > len(prefix):
            through = {"pipeline": "pipeline", "__aenter__": "entered", "__enter__": "entered"}.get(prefix[0], "pool")
            rest = rest[len(prefix) :]
            break
    if len(rest) == 1:
        return through, rest[0]
    return through, None
