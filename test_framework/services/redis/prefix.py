"""Prefix the keys of any command, by the server's own description of where a command has its keys.

For servers with too few databases: tests share one and are kept apart by what their keys begin with. The rewriting is
done where commands become bytes, and undone where replies become values, so pipelines, scripts, transactions and
subscriptions are all covered. What a Lua script calls by names of its own making is not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from test_framework.errors import FrameworkError

__all__ = ["KeySpec", "Rewriter", "parse_command_table"]

Arguments = list[bytes]

# For what speaks of the whole database: the same, for our keys alone. Done by the server, so it works in a pipeline.
_OWN_KEYS = "local keys = redis.call('KEYS', ARGV[1] .. '*') "
_WHOLE = {
    b"FLUSHDB": _OWN_KEYS
    + "for _, key in ipairs(keys) do redis.call('UNLINK', key) end return redis.status_reply('OK')",
    b"DBSIZE": _OWN_KEYS + "return #keys",
    b"RANDOMKEY": _OWN_KEYS
    + "math.randomseed(redis.call('TIME')[2]) return #keys > 0 and keys[math.random(#keys)] or false",
}
_CHANNELS_ALL = {b"SUBSCRIBE", b"UNSUBSCRIBE", b"PSUBSCRIBE", b"PUNSUBSCRIBE", b"SSUBSCRIBE", b"SUNSUBSCRIBE"}


@dataclass(frozen=True)
class KeySpec:
    """Where a command has keys, as ``COMMAND`` tells it: where to begin, and how to go on from there.

    Args:
        keyword: the keys begin after this word, searched from ``start`` (from the end if negative); ``None``: they
            begin at ``start``.
        numkeys: position of their number, relative to the beginning; ``None``: there is a ``last`` one.
        limit: the first ``1/limit`` of what remains are keys.
    """

    start: int
    keyword: bytes | None = None
    numkeys: int | None = None
    first: int = 0
    last: int = 0
    step: int = 1
    limit: int = 0

    def positions(self, arguments: Arguments) -> range:
        """The indexes of the keys in ``arguments``, the command itself being number 0."""
        begin = self._begin(arguments)
        if begin is None or begin >= len(arguments):
            return range(0)
        if self.numkeys is not None:
            count = int(arguments[begin + self.numkeys])
            first = begin + self.first
            return range(first, min(first + count * self.step, len(arguments)), self.step)
        if self.last >= 0:
            end = begin + self.last
        elif self.last == -1 and self.limit > 1:
            end = begin + (len(arguments) - begin) // self.limit - 1
        else:
            end = len(arguments) + self.last
        return range(begin, min(end + 1, len(arguments)), self.step)

    def _begin(self, arguments: Arguments) -> int | None:
        if self.keyword is None:
            return self.start
        backwards = self.start < 0
        indexes = range(len(arguments) + self.start, 0, -1) if backwards else range(self.start, len(arguments))
        return next((index + 1 for index in indexes if arguments[index].upper() == self.keyword), None)


@dataclass(frozen=True)
class CommandKeys:
    """The specifications of one command; not ``complete`` where the server says that it cannot tell all keys."""

    specs: tuple[KeySpec, ...] = ()
    complete: bool = True


def parse_command_table(reply: Sequence[Sequence[Any]]) -> dict[bytes, CommandKeys]:
    """What ``COMMAND`` replied, with ``bytes`` for texts.

    Raises:
        FrameworkError: the server is older than Redis 7 and has no key specifications.
    """
    table: dict[bytes, CommandKeys] = {}
    for entry in reply:
        if len(entry) < 10:
            raise FrameworkError(
                "this Redis cannot say where its commands have their keys, so tests cannot share one of its databases",
                cause="key specifications came with Redis 7",
                fix="use Redis 7, or give the server more databases: redis-server --databases 256",
            )
        table[entry[0].upper().replace(b"|", b" ")] = _command(entry[8])
        table.update(parse_command_table(entry[9]))
    return table


def _command(specs: Sequence[Sequence[Any]]) -> CommandKeys:
    found = [_spec(_pairs(each)) for each in specs]
    return CommandKeys(tuple(each for each in found if each is not None), None not in found)


def _spec(fields: Mapping[bytes, Any]) -> KeySpec | None:
    begin, find = _pairs(fields[b"begin_search"]), _pairs(fields[b"find_keys"])
    where, how = _pairs(begin[b"spec"]), _pairs(find[b"spec"])
    values: dict[str, Any] = {}
    if begin[b"type"] == b"index":
        values["start"] = where[b"index"]
    elif begin[b"type"] == b"keyword":
        values |= {"start": where[b"startfrom"], "keyword": where[b"keyword"].upper()}
    if find[b"type"] == b"range":
        values |= {"last": how[b"lastkey"], "step": how[b"keystep"], "limit": how[b"limit"]}
    elif find[b"type"] == b"keynum":
        values |= {"numkeys": how[b"keynumidx"], "first": how[b"firstkey"], "step": how[b"keystep"]}
    known = begin[b"type"] in (b"index", b"keyword") and find[b"type"] in (b"range", b"keynum")
    return KeySpec(**values) if known else None


def _pairs(flat: Any) -> Mapping[bytes, Any]:
    return flat if isinstance(flat, Mapping) else dict(zip(flat[::2], flat[1::2], strict=True))


class Rewriter:
    """Puts a prefix in front of the keys and channels of a command, and takes it off the replies."""

    def __init__(self, prefix: str, table: Mapping[bytes, CommandKeys]) -> None:
        self._prefix = prefix.encode()
        self._text = prefix
        self._table = table

    def rewrite(self, arguments: Arguments) -> Arguments:
        """The command to send instead.

        Raises:
            FrameworkError: nobody can tell where its keys are.
        """
        name = arguments[0].upper()
        if name in _WHOLE:
            return [b"EVAL", _WHOLE[name].encode(), b"0", self._prefix]
        special = _SPECIAL.get(name)
        if special is not None:
            return special(self._prefix, list(arguments))
        if name in _CHANNELS_ALL:
            return [arguments[0], *(self._prefix + channel for channel in arguments[1:])]
        return self._by_table(name, list(arguments))

    def _by_table(self, name: bytes, arguments: Arguments) -> Arguments:
        # Subcommands have entries of their own; the container has none.
        both = name + b" " + arguments[1].upper() if len(arguments) > 1 else name
        command = self._table.get(both) or self._table.get(name)
        if command is None:
            return arguments  # the server does not know it either, and says so
        if not command.complete:
            raise FrameworkError(
                f"{name.decode()} cannot be used where tests share one Redis database",
                cause="the server cannot tell which of its arguments are keys",
                fix="give the server more databases: redis-server --databases 256",
            )
        for index in {index for spec in command.specs for index in spec.positions(arguments)}:
            arguments[index] = self._prefix + arguments[index]
        return arguments

    def restore(self, reply: Any) -> Any:
        """``reply`` with keys as the test knows them. Nobody else's text begins with our prefix."""
        if isinstance(reply, bytes):
            return reply.removeprefix(self._prefix)
        if isinstance(reply, str):
            return reply.removeprefix(self._text)
        if isinstance(reply, list):
            return [self.restore(each) for each in reply]
        if isinstance(reply, dict):
            return {self.restore(key): self.restore(value) for key, value in reply.items()}
        return reply


def _keys(prefix: bytes, arguments: Arguments) -> Arguments:
    return [arguments[0], *(prefix + pattern for pattern in arguments[1:])]


def _scan(prefix: bytes, arguments: Arguments) -> Arguments:
    for index in range(2, len(arguments) - 1, 2):
        if arguments[index].upper() == b"MATCH":
            arguments[index + 1] = prefix + arguments[index + 1]
            return arguments
    return [*arguments, b"MATCH", prefix + b"*"]


def _publish(prefix: bytes, arguments: Arguments) -> Arguments:
    arguments[1:2] = [prefix + channel for channel in arguments[1:2]]
    return arguments


def _pubsub(prefix: bytes, arguments: Arguments) -> Arguments:
    word = arguments[1].upper() if len(arguments) > 1 else b""
    if word in (b"CHANNELS", b"SHARDCHANNELS") and len(arguments) == 2:
        return [*arguments, prefix + b"*"]
    if word in (b"CHANNELS", b"SHARDCHANNELS", b"NUMSUB", b"SHARDNUMSUB"):
        return [*arguments[:2], *(prefix + channel for channel in arguments[2:])]
    return arguments


def _sort(prefix: bytes, arguments: Arguments) -> Arguments:
    """``BY``, ``GET`` and ``STORE`` name keys too, by patterns that the server cannot resolve in advance."""
    arguments[1:2] = [prefix + key for key in arguments[1:2]]
    index = 2
    while index < len(arguments) - 1:
        word, value = arguments[index].upper(), arguments[index + 1]
        if word == b"STORE" or (word == b"BY" and b"*" in value) or (word == b"GET" and value != b"#"):
            arguments[index + 1] = prefix + value
        index += {b"LIMIT": 3, b"STORE": 2, b"BY": 2, b"GET": 2}.get(word, 1)
    return arguments


_SPECIAL: dict[bytes, Callable[[bytes, Arguments], Arguments]] = {
    b"KEYS": _keys,
    b"SCAN": _scan,
    b"PUBLISH": _publish,
    b"SPUBLISH": _publish,
    b"PUBSUB": _pubsub,
    b"SORT": _sort,
    b"SORT_RO": _sort,
}
