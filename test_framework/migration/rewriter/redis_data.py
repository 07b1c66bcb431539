"""Redis: keys that make the real server answer what a mock was told to answer, and assertions on keys."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from test_framework.migration.rewriter.events import CannotTell, Op
from test_framework.migration.rewriter.kinds import REDIS_METHODS, normal
from test_framework.migration.rewriter.redis_names import MAKES, QUIET, READS, REMOVES, text_of
from test_framework.migration.rewriter.values import UNKNOWN, Const, DictV, ListV, StandIn, Sym, Value, repr_of, truth
from test_framework.migration.rewriter.wanted import Client, Seeds, said

__all__ = ["RedisSeeds", "pattern_of"]


class RedisSeeds:
    """Goes through the calls in their order and keeps what is in the database by then."""

    def __init__(self, client: Client, checked: set[str]) -> None:
        self.client = client
        self.checked = checked
        self.seeds = Seeds()
        self.keys: dict[str, str] = {}
        self.seeded: dict[str, str] = {}
        self.values: dict[str, str] = {}
        self.removed: set[str] = set()
        # Keys of which the test knows only a part.
        self.patterns: set[str] = set()

    def take(self, op: Op) -> None:
        """One call. Raises CannotTell when no data would make the server answer like that."""
        _, method = normal(op.path)
        if method is None or method not in REDIS_METHODS:
            raise CannotTell(
                f"{'.'.join(step for step in op.path if step != '()') or 'a call'} has no counterpart in Redis"
            )
        if op.raises:
            raise CannotTell(f"{method} was told to raise {op.raises}: a real server fails in another way")
        if not op.complete_arguments:
            raise CannotTell(f"the arguments of {method} cannot be told from the source")
        if method in QUIET:
            return
        if method in READS:
            self._read(op, method)
        else:
            self._write(op, method)

    def key(self, op: Op, number: int = 0) -> str:
        names = ("name", "key", "names")
        value = (
            op.args[number] if len(op.args) > number else next((op.kwargs[n] for n in names if n in op.kwargs), None)
        )
        # By its value, whatever the test calls it: equal keys must be seen to be equal.
        if isinstance(value, Const) and isinstance(value.value, str):
            return repr_of(value.value)
        return said(value, f"the key of {op.method}")

    def _put(self, op: Op | None, key: str, kind: str, line: str, value: str = "") -> None:
        self.seeds.add(op, self.client.call(line))
        self.keys[key] = kind
        self.seeded[key] = kind
        self.values[key] = value

    def _read(self, op: Op, method: str) -> None:
        value = op.result
        if not op.configured or value is None or isinstance(value, StandIn):
            if op.used:
                raise CannotTell(f"what {method} answers is not said")
            return
        if method in ("mget", "keys", "scan_iter"):
            _MANY[method](self, op, value)
            return
        key = self.key(op)
        if key in self.keys:
            if isinstance(value, Const) and value.value is None and key not in self.removed:
                raise CannotTell(f"{method} of {key} is told to find nothing after something was written there")
            if method in ("get", "hgetall", "lrange", "smembers", "exists"):
                return
        _READERS[method](self, op, key, value)
        if method in REMOVES:
            self.removed.add(key)

    def answer_text(self, op: Op, key: str, value: Value) -> None:
        if isinstance(value, Const) and value.value is None:
            return
        if isinstance(value, Const) and not isinstance(value.value, str | bytes):
            raise CannotTell(f"{op.method} was told to answer {value.value!r}: Redis gives text")
        text = text_of(value, self.client, f"the value of {key}")
        self._put(op, key, "string", f"set({key}, {text})", text)

    def answer_exists(self, op: Op, key: str, value: Value) -> None:
        known = truth(value)
        if known is None:
            raise CannotTell("whether the key exists is not said")
        if known:
            self._put(op, key, "string", f'set({key}, "1")', '"1"')

    def answer_hash(self, op: Op, key: str, value: Value) -> None:
        if not isinstance(value, DictV):
            raise CannotTell("what hgetall answers is not said")
        if not value.items:
            return
        items = []
        for field, each in value.items.items():
            if isinstance(each, Const) and not isinstance(each.value, str | bytes):
                raise CannotTell(f"hgetall was told to answer {each.value!r}: Redis gives text")
            items.append(f"{text_of(Const(field), self.client, 'a field')}: {text_of(each, self.client, 'a field')}")
        self._put(op, key, "hash", f"hset({key}, mapping={{{', '.join(items)}}})")

    def answer_field(self, op: Op, key: str, value: Value) -> None:
        if isinstance(value, Const) and value.value is None:
            return
        field = said(op.args[1] if len(op.args) > 1 else op.kwargs.get("key"), "the field")
        text = '"1"' if op.method == "hexists" else text_of(value, self.client, "the field's value")
        if op.method == "hexists" and not truth(value):
            return
        self._put(op, key, "hash", f"hset({key}, {field}, {text})")

    def answer_list(self, op: Op, key: str, value: Value) -> None:
        if op.method in ("lpop", "rpop"):
            items: Sequence[Value] = [] if isinstance(value, Const) and value.value is None else [value]
        else:
            items = _members(op, value, counted_by="llen", word="item")
        if items:
            texts = ", ".join(text_of(each, self.client, "an item") for each in items)
            self._put(op, key, "list", f"rpush({key}, {texts})")

    def answer_set(self, op: Op, key: str, value: Value) -> None:
        if op.method == "sismember":
            items: Sequence[Value] = [op.args[1]] if truth(value) and len(op.args) > 1 else []
        else:
            items = _members(op, value, counted_by="scard", word="member")
        if items:
            texts = ", ".join(text_of(each, self.client, "a member") for each in items)
            self._put(op, key, "set", f"sadd({key}, {texts})")

    def answer_zset(self, op: Op, key: str, value: Value) -> None:
        if op.method == "zscore":
            scores = (
                [] if isinstance(value, Const) and value.value is None else [(op.args[1], said(value, "the score"))]
            )
        elif op.method == "zcard":
            scores = [(Const(f"member-{n}"), str(n)) for n in range(_number(value))]
        elif isinstance(value, ListV):
            pairs = [each for each in value.items if isinstance(each, ListV) and len(each.items) == 2]
            if pairs and len(pairs) == len(value.items):
                scores = [(each.items[0], said(each.items[1], "the score")) for each in pairs]
            else:
                scores = [(each, str(n)) for n, each in enumerate(value.items, 1)]
        else:
            raise CannotTell(f"what {op.method} answers is not said")
        if scores:
            texts = ", ".join(f"{text_of(each, self.client, 'a member')}: {score}" for each, score in scores)
            self._put(op, key, "zset", f"zadd({key}, {{{texts}}})")

    def answer_ttl(self, op: Op, key: str, value: Value) -> None:
        seconds = _number(value)
        if seconds == -2:
            return
        if key not in self.keys:
            lives = f", ex={seconds}" if seconds > 0 else ""
            self._put(op, key, "string", f'set({key}, "1"{lives})', '"1"')
        elif seconds > 0 and key in self.seeded:
            self.seeds.add(op, self.client.call(f"expire({key}, {seconds})"))

    def answer_many(self, op: Op, value: Value) -> None:
        keys = op.args[0].items if op.args and isinstance(op.args[0], ListV) else op.args
        if not isinstance(value, ListV) or len(value.items) != len(keys):
            raise CannotTell("what mget answers is not said")
        for key, each in zip(keys, value.items, strict=True):
            if said(key, "a key") not in self.keys:
                self.answer_text(op, said(key, "a key"), each)

    def answer_keys(self, op: Op, value: Value) -> None:
        if not isinstance(value, ListV):
            raise CannotTell(f"what {op.method} answers is not said")
        for each in value.items:
            key = text_of(each, self.client, "a key")
            if key not in self.keys:
                self._put(op, key, "string", f'set({key}, "1")', '"1"')

    def _write(self, op: Op, method: str) -> None:
        if method == "publish":
            return
        if method == "mset":
            mapping = op.args[0] if op.args else UNKNOWN
            for each in mapping.items if isinstance(mapping, DictV) else ():
                self.keys[repr_of(each)] = "string"
            return
        wanted = truth(op.result) if op.configured and op.result is not None else None
        pattern = pattern_of(op.args)
        if pattern and method not in REMOVES and not op.configured:
            self.patterns.add(pattern)
            return
        for number in range(len(op.args)) if method in REMOVES else [0]:
            self._write_one(op, method, self.key(op, number), wanted=wanted)

    def _write_one(self, op: Op, method: str, key: str, *, wanted: bool | None) -> None:
        if method in ("incr", "incrby", "decr", "decrby") and op.configured and key not in self.keys:
            self._count(op, method, key)
        elif method in ("set", "setnx") and wanted is False:
            if key not in self.keys:
                self._put(op, key, "string", f'set({key}, "taken")', '"taken"')
            return
        elif (
            method in _NEEDS_SOMETHING
            and key not in self.keys
            and (wanted or (wanted is None and method in self.checked))
        ):
            self._put(op, key, *_NEEDS_SOMETHING[method](self, op, key))
        if method in MAKES:
            self.keys[key] = MAKES[method]
            self.values.pop(key, None)
        if method in REMOVES:
            self.keys.pop(key, None)
            self.removed.add(key)

    def _count(self, op: Op, method: str, key: str) -> None:
        amount = _number(op.args[1]) if len(op.args) > 1 else _number(op.kwargs.get("amount", Const(1)))
        before = _number(op.result or UNKNOWN) - (amount if method.startswith("incr") else -amount)
        if before:
            self._put(op, key, "string", f"set({key}, {before})", str(before))

    def something(self, op: Op, key: str) -> tuple[str, str, str]:
        return "string", f'set({key}, "1")', '"1"'

    def some_field(self, op: Op, key: str) -> tuple[str, str, str]:
        field = said(op.args[1], "the field")
        return "hash", f'hset({key}, {field}, "1")', ""

    def some_member(self, op: Op, key: str) -> tuple[str, str, str]:
        return "set", f"sadd({key}, {text_of(op.args[1], self.client, 'the member')})", ""

    def some_scored(self, op: Op, key: str) -> tuple[str, str, str]:
        return "zset", f"zadd({key}, {{{text_of(op.args[1], self.client, 'the member')}: 1}})", ""


def pattern_of(args: Sequence[Value]) -> str:
    """What the key looks like, where only parts of it are known."""
    return args[0].pattern if args and isinstance(args[0], Sym) else ""


def _members(op: Op, value: Value, *, counted_by: str, word: str) -> Sequence[Value]:
    """What a list or a set must hold to answer ``value``; members of which only the number is said are made up."""
    if op.method == counted_by:
        return [Const(f"{word}-{n}") for n in range(_number(value))]
    if isinstance(value, ListV):
        return value.items
    raise CannotTell(f"what {op.method} answers is not said")


def _number(value: Value) -> int:
    if isinstance(value, Const) and isinstance(value.value, int):
        return value.value
    raise CannotTell("a number is not known")


_READERS: dict[str, Callable[[RedisSeeds, Op, str, Value], None]] = {
    "get": RedisSeeds.answer_text,
    "getdel": RedisSeeds.answer_text,
    "exists": RedisSeeds.answer_exists,
    "hgetall": RedisSeeds.answer_hash,
    "hget": RedisSeeds.answer_field,
    "hexists": RedisSeeds.answer_field,
    **dict.fromkeys(("lrange", "llen", "lpop", "rpop"), RedisSeeds.answer_list),
    **dict.fromkeys(("smembers", "sismember", "scard"), RedisSeeds.answer_set),
    **dict.fromkeys(("zscore", "zrange", "zcard"), RedisSeeds.answer_zset),
    "ttl": RedisSeeds.answer_ttl,
}
_MANY: dict[str, Callable[[RedisSeeds, Op, Value], None]] = {
    "mget": RedisSeeds.answer_many,
    "keys": RedisSeeds.answer_keys,
    "scan_iter": RedisSeeds.answer_keys,
}
_NEEDS_SOMETHING: dict[str, Callable[[RedisSeeds, Op, str], tuple[str, str, str]]] = {
    "delete": RedisSeeds.something,
    "unlink": RedisSeeds.something,
    "expire": RedisSeeds.something,
    "persist": RedisSeeds.something,
    "hdel": RedisSeeds.some_field,
    "srem": RedisSeeds.some_member,
    "zrem": RedisSeeds.some_scored,
}
