"""What the commands of Redis do to keys."""

from __future__ import annotations

from test_framework.migration.rewriter.events import CannotTell
from test_framework.migration.rewriter.values import Const, Sym, Value, repr_of
from test_framework.migration.rewriter.wanted import Client, said

__all__ = ["MAKES", "QUIET", "READS", "REMOVES", "text_of"]


READS = frozenset(
    [
        "get",
        "exists",
        "hgetall",
        "hget",
        "hexists",
        "hlen",
        "hkeys",
        "lrange",
        "llen",
        "lpop",
        "rpop",
        "smembers",
        "sismember",
        "scard",
        "ttl",
        "mget",
        "zscore",
        "zrange",
        "zcard",
        "keys",
        "getdel",
        "scan_iter",
    ]
)


QUIET = frozenset({"ping", "close", "aclose", "execute", "pipeline", "flushdb", "type"})


MAKES = {
    **dict.fromkeys(
        ["set", "setex", "psetex", "setnx", "incr", "incrby", "decr", "decrby", "append", "mset", "getset"], "string"
    ),
    **dict.fromkeys(("hset", "hincrby", "hmset"), "hash"),
    **dict.fromkeys(("lpush", "rpush"), "list"),
    "sadd": "set",
    **dict.fromkeys(("zadd", "zincrby"), "zset"),
}


REMOVES = frozenset({"delete", "unlink", "getdel"})


def text_of(value: Value, client: Client, what: str) -> str:
    """``value`` as Redis gives it back."""
    if isinstance(value, Const):
        raw = value.value
        if isinstance(raw, bytes) and client.decoded:
            raw = raw.decode("utf-8", "strict")
        elif isinstance(raw, int | float) and not isinstance(raw, bool):
            raw = repr(raw) if isinstance(raw, float) else str(raw)
        if isinstance(raw, str | bytes):
            if not client.decoded and isinstance(raw, str):
                raw = raw.encode()
            if value.src and isinstance(value.value, str) and client.decoded:
                return value.src
            return repr_of(raw)
        raise CannotTell(f"{what} is {raw!r}, which Redis cannot hold")
    text = said(value, what)
    if isinstance(value, Sym) and value.pytype in ("str", None) and client.decoded:
        return text if value.pytype == "str" else f"str({text})"
    if isinstance(value, Sym) and value.pytype in ("UUID", "int", "float"):
        return f"str({text})"
    raise CannotTell(f"{what} is no text that Redis would give back")
