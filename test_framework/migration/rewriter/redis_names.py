"""What the commands of Redis do to keys."""

from __future__ import annotations

__all__ = ["MAKES", "QUIET", "READS", "REMOVES"]


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
