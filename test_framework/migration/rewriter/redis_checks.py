"""Redis: what a mock's assertions say, said of the data."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from test_framework.migration.rewriter.events import CannotTell, Op
from test_framework.migration.rewriter.redis_data import RedisSeeds, pattern_of
from test_framework.migration.rewriter.redis_names import MAKES, text_of
from test_framework.migration.rewriter.values import Const, DictV, Value, emit, repr_of
from test_framework.migration.rewriter.wanted import Client, is_any, said

__all__ = ["MAKERS", "redis_assertion", "redis_key", "redis_value"]


class Said:
    """The arguments that an assertion names, or those of the call that it is about."""

    def __init__(self, method: str, args: Sequence[Value], kwargs: dict[str, Value], op: Op | None) -> None:
        self.method = method
        self.args = list(args)
        self.kwargs = dict(kwargs)
        self.op = op

    def get(self, position: int, *names: str) -> Value | None:
        """An argument; the call's own where the assertion says ``ANY``."""
        found = _pick(self.args, self.kwargs, position, names)
        if found is not None and is_any(found):
            seen = _pick(self.op.args, self.op.kwargs, position, names) if self.op else None
            found = seen if seen is not None and emit(seen) is not None else found
        return found

    def key(self, position: int = 0) -> str:
        value = self.get(position, "name", "key")
        if isinstance(value, Const) and isinstance(value.value, str):
            return repr_of(value.value)
        return said(value, f"the key of {self.method}")


def _pick(args: Sequence[Value], kwargs: dict[str, Value], position: int, names: Sequence[str]) -> Value | None:
    if len(args) > position:
        return args[position]
    return next((kwargs[name] for name in names if name in kwargs), None)


def redis_assertion(method: str, found: Said, seeds: RedisSeeds) -> list[str]:
    """Assertions that hold when ``method`` was called like that. Raises CannotTell."""
    pattern = pattern_of(found.args)
    if pattern and method in MAKES:
        return [f"assert {seeds.client.call(f'keys({repr_of(pattern)})')}"]
    maker = MAKERS.get(method)
    if maker is None:
        raise CannotTell(f"a call of {method} leaves nothing in Redis that could be asserted")
    return maker(found, seeds)


def not_called(method: str, ops: Sequence[Op], seeds: RedisSeeds) -> list[str]:
    """Nothing was written: what was there is all that is there."""
    reads = {"get", "exists", "hgetall", "hget", "lrange", "smembers"}
    if method in reads:
        raise CannotTell(f"that {method} was not called cannot be seen in the data")
    if seeds.patterns:
        raise CannotTell("how many keys there are cannot be told from the source")
    if not seeds.keys and method in ("delete", "unlink", "expire"):
        raise CannotTell(f"that {method} was not called cannot be seen in an empty database")
    return [f"assert {seeds.client.call('dbsize()')} == {len(seeds.keys)}"]


def redis_value(op: Op, which: int | str, client: Client) -> str:
    """The data that an argument of a call became."""
    found = Said(op.method, op.args, op.kwargs, op)
    value_at = {"set": 1, "setex": 2, "psetex": 2, "setnx": 1}.get(op.method)
    if which == value_at or which == "value":
        return client.call(f"get({found.key()})")
    if op.method == "hset" and which == "mapping":
        return client.call(f"hgetall({found.key()})")
    if op.method == "hset" and which == 2:
        return client.call(f"hget({found.key()}, {said(found.get(1), 'the field')})")
    if op.method in ("lpush", "rpush") and which == 1:
        return client.call(f"lindex({found.key()}, {0 if op.method == 'lpush' else -1})")
    raise CannotTell(f"argument {which} of {op.method} leaves nothing in Redis that could be asserted")


def redis_key(op: Op, seeds: RedisSeeds) -> list[str]:
    """The key of a call is there now; nothing when it is not."""
    found = Said(op.method, op.args, op.kwargs, op)
    return [f"assert {seeds.client.call(f'exists({found.key()})')} == 1"] if found.key() in seeds.keys else []


def _stored(found: Said, seeds: RedisSeeds, position: int) -> list[str]:
    key, value = found.key(), found.get(position, "value")
    client = seeds.client
    if value is None or is_any(value):
        return [f"assert {client.call(f'exists({key})')} == 1"]
    return [f"assert {client.call(f'get({key})')} == {text_of(value, client, f'the value of {key}')}"]


def _lives(seeds: RedisSeeds, key: str, seconds: Value | None, unit: str = "ttl") -> list[str]:
    if seconds is None or is_any(seconds):
        return []
    return [f"assert 0 < {seeds.client.call(f'{unit}({key})')} <= {_seconds(seconds)}"]


def _seconds(value: Value) -> str:
    import datetime as dt

    if isinstance(value, Const) and isinstance(value.value, dt.timedelta):
        return str(int(value.value.total_seconds()))
    return said(value, "the time to live")


def _set(found: Said, seeds: RedisSeeds) -> list[str]:
    if (
        found.op is not None
        and found.op.configured
        and isinstance(found.op.result, Const)
        and not found.op.result.value
    ):
        return [f"assert {seeds.client.call(f'get({found.key()})')} == {text_of(Const('taken'), seeds.client, '')}"]
    return [
        *_stored(found, seeds, 1),
        *_lives(seeds, found.key(), found.get(2, "ex")),
        *_lives(seeds, found.key(), found.get(3, "px"), "pttl"),
    ]


def _setex(found: Said, seeds: RedisSeeds) -> list[str]:
    unit = "pttl" if found.method == "psetex" else "ttl"
    return [*_stored(found, seeds, 2), *_lives(seeds, found.key(), found.get(1, "time", "time_ms"), unit)]


def _gone(found: Said, seeds: RedisSeeds) -> list[str]:
    keys = [Said("delete", [each], {}, found.op).key() for each in found.args]
    if not keys:
        raise CannotTell("the keys that were deleted cannot be told from the source")
    if any(key in seeds.keys for key in keys):
        raise CannotTell("a key is deleted and written again")
    named = ", ".join(keys)
    return [f"assert {seeds.client.call(f'exists({named})')} == 0"]


def _read(found: Said, seeds: RedisSeeds) -> list[str]:
    """The key is there, or is not, as the mock said that it is."""
    key = found.key()
    if found.method == "get" and seeds.values.get(key):
        return [f"assert {seeds.client.call(f'get({key})')} == {seeds.values[key]}"]
    return [f"assert {seeds.client.call(f'exists({key})')} == {1 if key in seeds.keys else 0}"]


def _hash_field(found: Said, seeds: RedisSeeds) -> list[str]:
    field = said(found.get(1, "key"), "the field")
    there = found.key() in seeds.keys
    return [f"assert {'' if there else 'not '}{seeds.client.call(f'hexists({found.key()}, {field})')}"]


def _hset(found: Said, seeds: RedisSeeds) -> list[str]:
    key, client = found.key(), seeds.client
    mapping = found.get(3, "mapping")
    if isinstance(mapping, DictV):
        items = [
            f"{text_of(Const(name), client, 'a field')}: {text_of(each, client, 'a field')}"
            for name, each in mapping.items.items()
            if not is_any(each)
        ]
        if len(items) == len(mapping.items):
            return [f"assert {client.call(f'hgetall({key})')} == {{{', '.join(items)}}}"]
        raise CannotTell("a field of the hash cannot be told from the source")
    if mapping is not None:
        raise CannotTell("the fields of the hash cannot be told from the source")
    field, value = said(found.get(1, "key"), "the field"), found.get(2, "value")
    if value is None or is_any(value):
        return [f"assert {client.call(f'hexists({key}, {field})')}"]
    return [f"assert {client.call(f'hget({key}, {field})')} == {text_of(value, client, 'the field')}"]


def _hdel(found: Said, seeds: RedisSeeds) -> list[str]:
    field = said(found.get(1), "the field")
    return [f"assert not {seeds.client.call(f'hexists({found.key()}, {field})')}"]


def _count(found: Said, seeds: RedisSeeds) -> list[str]:
    key, client = found.key(), seeds.client
    result = found.op.result if found.op and found.op.configured else None
    if isinstance(result, Const):
        return [f"assert {client.call(f'get({key})')} == {text_of(Const(str(result.value)), client, 'the number')}"]
    return [f"assert int({client.call(f'get({key})')}) >= 1"]


def _expire(found: Said, seeds: RedisSeeds) -> list[str]:
    seconds = found.get(1, "time")
    if seconds is None or is_any(seconds):
        return [f"assert {seeds.client.call(f'ttl({found.key()})')} > 0"]
    return _lives(seeds, found.key(), seconds)


def _push(found: Said, seeds: RedisSeeds) -> list[str]:
    key, client = found.key(), seeds.client
    items = [text_of(each, client, "an item") for each in found.args[1:] if not is_any(each)]
    if not items:
        return [f"assert {client.call(f'llen({key})')} > 0"]
    return [f"assert {each} in {client.call(f'lrange({key}, 0, -1)')}" for each in items]


def _ltrim(found: Said, seeds: RedisSeeds) -> list[str]:
    stop = found.get(2)
    if not isinstance(stop, Const) or not isinstance(stop.value, int) or stop.value < 0:
        raise CannotTell("how long the list may be cannot be told from the source")
    return [f"assert {seeds.client.call(f'llen({found.key()})')} <= {stop.value + 1}"]


def _member(found: Said, seeds: RedisSeeds) -> list[str]:
    key, client = found.key(), seeds.client
    members = [text_of(each, client, "a member") for each in found.args[1:] if not is_any(each)]
    return [f"assert {client.call(f'sismember({key}, {member})')}" for member in members] or [
        f"assert {client.call(f'scard({key})')} > 0"
    ]


def _sismember(found: Said, seeds: RedisSeeds) -> list[str]:
    there = found.key() in seeds.keys
    member = text_of(found.args[1], seeds.client, "the member")
    return [f"assert {'' if there else 'not '}{seeds.client.call(f'sismember({found.key()}, {member})')}"]


def _no_member(found: Said, seeds: RedisSeeds) -> list[str]:
    key, client = found.key(), seeds.client
    asked = "sismember" if found.method == "srem" else "zscore"
    return [
        f"assert not {client.call(f'sismember({key}, {text})')}"
        if asked == "sismember"
        else f"assert {client.call(f'zscore({key}, {text})')} is None"
        for text in (text_of(each, client, "a member") for each in found.args[1:])
    ]


def _zadd(found: Said, seeds: RedisSeeds) -> list[str]:
    mapping = found.get(1, "mapping")
    if not isinstance(mapping, DictV):
        raise CannotTell("the members of the sorted set cannot be told from the source")
    return [
        f"assert {seeds.client.call(f'zscore({found.key()}, {repr_of(name)})')} == {said(score, 'the score')}"
        for name, score in mapping.items.items()
    ]


MAKERS: dict[str, Callable[[Said, RedisSeeds], list[str]]] = {
    "set": _set,
    "setex": _setex,
    "psetex": _setex,
    "setnx": _set,
    **dict.fromkeys(("delete", "unlink"), _gone),
    **dict.fromkeys(
        ("get", "exists", "hgetall", "lrange", "llen", "smembers", "scard", "ttl", "zrange", "zcard"), _read
    ),
    **dict.fromkeys(("hget", "hexists"), _hash_field),
    "hset": _hset,
    "hdel": _hdel,
    **dict.fromkeys(("incr", "incrby", "decr", "decrby"), _count),
    "expire": _expire,
    **dict.fromkeys(("lpush", "rpush"), _push),
    "ltrim": _ltrim,
    "sadd": _member,
    "sismember": _sismember,
    **dict.fromkeys(("srem", "zrem"), _no_member),
    "zadd": _zadd,
}
