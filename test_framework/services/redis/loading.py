"""Read Redis fixtures: YAML or JSON that maps keys to what they hold.

::

    session:4f2a:                      # the key
      type: hash                       # string, json, hash, list, set, zset, stream
      ttl: 86400                       # seconds; without it the key stays
      value: {user_id: 17, role: admin}

Scalars are taken as written (``1.10`` stays ``1.10``, ``yes`` stays ``yes``), since Redis stores texts. ``json`` is a
string that holds the value as a JSON document; there ``1`` and ``true`` are what they are in YAML.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import yaml

from test_framework.errors import SeedError
from test_framework.services.base import MARK, FixtureFile
from test_framework.services.sources import check_each, text_of

__all__ = ["Entry", "check", "entries"]

Command = tuple[str | bytes | int | float, ...]

_LOADER: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAG = "tag:yaml.org,2002:"
_PLAIN = {f"{_TAG}{name}" for name in ("str", "int", "float", "bool", "null", "timestamp", "value", "merge")}
_FIELDS = {"type", "value", "ttl"}
_STREAM_ID = re.compile(r"(\d{1,20})-(\d{1,20})")
_ESCAPE = re.compile(r"\\(?:u(?P<high>[dD][89abAB]..)\\u(?P<low>[dD][c-fC-F]..)|.)")
_MAX_TTL = 10 * 365 * 86400
# An alias may stand for a large value many times over; nobody's fixture is that large.
_MAX_SCALARS = 100_000
_MAX_DEPTH = 64
# Arguments per command: large values go in pieces, so that the server is never busy with one for long.
_PIECE = 500


@dataclass(frozen=True)
class Entry:
    """One key with the commands that make it, on an absent key."""

    key: bytes
    kind: str
    line: int
    commands: tuple[Command, ...]


class _Fault(Exception):
    """What is wrong, and at which node."""

    def __init__(self, what: str, node: yaml.Node, fix: str | None = None) -> None:
        self.what, self.line, self.fix = what, _line(node), fix
        super().__init__(what)


def check(files: Sequence[FixtureFile]) -> list[SeedError]:
    """Every error in the files, and keys that two of them define."""
    seen: dict[bytes, str] = {}

    def check_one(file: FixtureFile) -> None:
        for entry in entries(file):
            if entry.key in seen:
                raise SeedError(
                    f"the key {entry.key.decode('utf-8', 'replace')!r} is defined twice",
                    file=file.path,
                    line=entry.line,
                    cause=f"the first time at {seen[entry.key]}",
                )
            seen[entry.key] = f"{file.path}:{entry.line}"

    return check_each(files, check_one)


def entries(file: FixtureFile) -> list[Entry]:
    """What the file defines.

    Raises:
        SeedError: with the line.
    """
    text = text_of(file)
    if file.path.suffix.lower() == ".json":
        text = _check_json(file, text)
    try:
        root = yaml.compose(text, Loader=_LOADER)
        return [] if root is None else [_entry(key, value) for key, value in _pairs(root, "the file")]
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        line = min(mark.line, text.count("\n")) + 1 if mark else None  # the end of the text has a line of its own
        cause = getattr(error, "problem", None) or str(error)
        raise SeedError("the file is not proper YAML", file=file.path, line=line, cause=cause) from error
    except _Fault as fault:
        raise SeedError(fault.what, file=file.path, line=fault.line, fix=fault.fix) from fault


def _check_json(file: FixtureFile, text: str) -> str:
    """JSON is YAML but for two things, which are put right here without moving a line.

    Tabs are white space in it (inside a string they have to be escaped, so none is lost), and characters beyond the
    basic plane are written as two escapes, which in YAML are one.
    """
    try:
        json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        line = getattr(error, "lineno", None)
        raise SeedError("the file is not proper JSON", file=file.path, line=line, cause=str(error)) from error
    return _ESCAPE.sub(_one_escape, text.replace("\t", " "))


def _one_escape(found: re.Match[str]) -> str:
    if found["high"] is None:
        return found[0]
    return f"\\U{0x10000 + ((int(found['high'], 16) & 0x3FF) << 10) + (int(found['low'], 16) & 0x3FF):08x}"


def _entry(key: str | bytes, node: yaml.Node) -> Entry:
    name = key.encode() if isinstance(key, str) else key
    if name.startswith(MARK.encode() + b":"):
        raise _Fault(f"keys that begin with {MARK}: are kept for the record of the seed", node)
    fields = {str(field): value for field, value in _pairs(node, f"the key {key!r}")}
    if unknown := set(fields) - _FIELDS:
        raise _Fault(f"{key!r} has no field {min(unknown)!r}", node, f"use {', '.join(sorted(_FIELDS))}")
    if missing := {"type", "value"} - set(fields):
        raise _Fault(f"{key!r} lacks {min(missing)!r}", node)
    kind = str(_scalar(fields["type"]))
    if kind not in _KINDS:
        raise _Fault(f"there is no type {kind!r}", fields["type"], f"use one of {', '.join(_KINDS)}")
    commands = [*_KINDS[kind](name, fields["value"])]
    if "ttl" in fields:
        commands.append(("PEXPIRE", name, _ttl(fields["ttl"])))
    return Entry(name, kind, _line(node), tuple(commands))


def _ttl(node: yaml.Node) -> int:
    seconds = _number(node, "ttl")
    if not 0.001 <= seconds <= _MAX_TTL:
        raise _Fault(f"a ttl is a number of seconds from 0.001 to {_MAX_TTL}", node)
    return round(seconds * 1000)


def _string(key: bytes, node: yaml.Node) -> Iterator[Command]:
    yield "SET", key, _scalar(node)


def _json(key: bytes, node: yaml.Node) -> Iterator[Command]:
    budget = iter(range(_MAX_SCALARS))
    yield "SET", key, json.dumps(_plain(node, budget, _MAX_DEPTH), ensure_ascii=False, separators=(",", ":"))


def _hash(key: bytes, node: yaml.Node) -> Iterator[Command]:
    pairs = _filled(_pairs(node, "a hash"), node)
    for piece in _pieces(pairs):
        yield ("HSET", key, *(part for field, value in piece for part in (field, _scalar(value))))


def _list(key: bytes, node: yaml.Node) -> Iterator[Command]:
    for piece in _pieces(_filled(_items(node), node)):
        yield ("RPUSH", key, *map(_scalar, piece))


def _set(key: bytes, node: yaml.Node) -> Iterator[Command]:
    members = [_scalar(item) for item in _filled(_items(node), node)]
    if len(set(members)) != len(members):
        raise _Fault("a member occurs twice in the set", node)
    for piece in _pieces(members):
        yield ("SADD", key, *piece)


def _zset(key: bytes, node: yaml.Node) -> Iterator[Command]:
    pairs = [(_number(score, "a score"), member) for member, score in _filled(_pairs(node, "a zset"), node)]
    for piece in _pieces(pairs):
        yield ("ZADD", key, *(part for pair in piece for part in pair))


def _stream(key: bytes, node: yaml.Node) -> Iterator[Command]:
    """Each item is a mapping of fields; ``id`` in it names the entry, else its number does (``1-0``, ``2-0`` …)."""
    last = (0, 0)
    for number, item in enumerate(_filled(_items(node), node), 1):
        pairs = dict(_filled(_pairs(item, "an entry of a stream"), item))
        given = pairs.pop("id", None)
        text = str(_scalar(given)) if given is not None else f"{number}-0"
        found = _STREAM_ID.fullmatch(text)
        this = (int(found[1]), int(found[2])) if found else (0, 0)
        if not last < this < (2**64, 0) or not pairs:
            raise _Fault(f"the entry {text!r} needs fields, and an id like 1700000000000-0 above the one before", item)
        last = this
        yield ("XADD", key, text, *(part for field, value in pairs.items() for part in (field, _scalar(value))))


_KINDS: dict[str, Callable[[bytes, yaml.Node], Iterator[Command]]] = {
    "string": _string,
    "json": _json,
    "hash": _hash,
    "list": _list,
    "set": _set,
    "zset": _zset,
    "stream": _stream,
}


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _pairs(node: yaml.Node, what: str) -> list[tuple[str | bytes, yaml.Node]]:
    if not isinstance(node, yaml.MappingNode):
        raise _Fault(f"{what} must be a mapping", node)
    pairs: dict[str | bytes, yaml.Node] = {}
    for key_node, value in node.value:
        key = _scalar(key_node)
        if key in pairs:
            raise _Fault(f"{key!r} occurs twice in {what}", key_node)
        pairs[key] = value
    return list(pairs.items())


def _items(node: yaml.Node) -> list[yaml.Node]:
    if not isinstance(node, yaml.SequenceNode):
        raise _Fault("the value must be a list", node)
    return list(node.value)


def _filled(items: list[Any], node: yaml.Node) -> list[Any]:
    if not items:
        raise _Fault("the value is empty, and Redis knows no empty collections", node)
    return items


def _scalar(node: yaml.Node) -> str | bytes:
    if not isinstance(node, yaml.ScalarNode):
        raise _Fault("this must be a single value", node, "for a document, use type: json")
    if node.tag == f"{_TAG}binary":
        try:
            return base64.b64decode("".join(node.value.split()), validate=True)
        except binascii.Error as error:
            raise _Fault(f"not base64: {error}", node) from error
    if node.tag not in _PLAIN:
        raise _Fault(f"the tag {node.tag} is not supported", node)
    return str(node.value)


def _number(node: yaml.Node, what: str) -> float:
    try:
        value = float(_scalar(node))
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise _Fault(f"{what} must be a finite number", node)
    return value


def _plain(node: yaml.Node, budget: Iterator[int], depth: int) -> Any:
    """The node as JSON values."""
    if next(budget, None) is None or depth == 0:
        raise _Fault("the value is too large or too deep, perhaps by an alias that contains itself", node)
    if isinstance(node, yaml.MappingNode):
        return {_text(key): _plain(value, budget, depth - 1) for key, value in _pairs(node, "an object")}
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, budget, depth - 1) for item in node.value]
    text = _scalar(node)
    kind = node.tag.removeprefix(_TAG)
    if kind not in ("int", "float", "bool", "null"):
        return _text(text)
    value = yaml.SafeLoader("").construct_object(node)
    if isinstance(value, float) and not math.isfinite(value):
        raise _Fault("JSON knows no such number", node)
    return value


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else base64.b64encode(value).decode()


def _pieces(items: Sequence[Any]) -> Iterator[list[Any]]:
    iterator = iter(items)
    while piece := list(islice(iterator, _PIECE)):
        yield piece
