"""How long a column is in the Native format: one walker for each type, which steps over the column's bytes.

A column is a prefix (states such as the version of a dictionary, or the types inside a Dynamic column) and the data;
containers write the prefixes of all their parts before the data of any.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Protocol

from test_framework.embedded_clickhouse.native_bytes import Incomplete, Unwalkable, read_text, read_u64, read_varint
from test_framework.embedded_clickhouse.native_names import TypeName, parse_type

__all__ = ["Walker", "fixed_size", "walker"]


class Walker(Protocol):
    """Steps over one column. A walker is used once, for its prefix and then its data."""

    def prefix(self, buffer: bytes, pos: int) -> int:
        """The offset after the prefix that begins at ``pos``."""

    def data(self, buffer: bytes, pos: int, rows: int) -> int:
        """The offset after the data of ``rows`` rows."""


class _Leaf:
    """A type without a prefix."""

    def prefix(self, buffer: bytes, pos: int) -> int:
        return pos


class _Fixed(_Leaf):
    def __init__(self, size: int) -> None:
        self.size = size

    def data(self, buffer: bytes, pos: int, rows: int) -> int:
        return pos + rows * self.size


class _String(_Leaf):
    def data(self, buffer: bytes, pos: int, rows: int) -> int:
        try:
            for _ in range(rows):
                size = buffer[pos]
                pos += 1
                if size >= 0x80:
                    size, pos = read_varint(buffer, pos - 1)
                pos += size
        except IndexError:
            raise Incomplete from None
        return pos


class _Parts:
    """A type made of others, all prefixes first."""

    def __init__(self, *parts: Walker) -> None:
        self.parts: Sequence[Walker] = parts

    def prefix(self, buffer: bytes, pos: int) -> int:
        for part in self.parts:
            pos = part.prefix(buffer, pos)
        return pos


class _Nullable(_Parts):
    def data(self, buffer: bytes, pos: int, rows: int) -> int:
        return self.parts[0].data(buffer, pos + rows, rows)


class _Tuple(_Parts):
    def data(self, buffer: bytes, pos: int, rows: int) -> int:
        if not self.parts:
            return pos + rows
        for part in self.parts:
            pos = part.data(buffer, pos, rows)
        return pos


class _Array(_Parts):
    def data(self, buffer: bytes, pos: int, rows: int) -> int:
        if not rows:
            return pos
        pos += 8 * rows
        total = read_u64(buffer, pos - 8)
        for part in self.parts if total else ():
            pos = part.data(buffer, pos, total)
        return pos


class _LowCardinality(_Parts):
    def prefix(self, buffer: bytes, pos: int) -> int:
        return pos + 8

    def data(self, buffer: bytes, pos: int, rows: int) -> int:
        if not rows:
            return pos
        flags = read_u64(buffer, pos)
        pos += 8
        if flags & 0x200:  # additional keys; the global dictionary (0x100) does not exist in this format
            pos = self.parts[0].data(buffer, pos + 8, read_u64(buffer, pos))
        return pos + 8 + read_u64(buffer, pos) * (1 << (flags & 0xFF))


class _Variant(_Parts):
    def prefix(self, buffer: bytes, pos: int) -> int:
        if read_u64(buffer, pos) != 0:
            raise Unwalkable("Variant with compact discriminators")
        return super().prefix(buffer, pos + 8)

    def data(self, buffer: bytes, pos: int, rows: int) -> int:
        if pos + rows > len(buffer):
            raise Incomplete
        discriminators = buffer[pos : pos + rows]
        pos += rows
        for number, part in enumerate(self.parts):
            if count := discriminators.count(number):
                pos = part.data(buffer, pos, count)
        return pos


class _Dynamic:
    """Its types stand in the prefix; values of rarer types share one more part, of strings."""

    def __init__(self) -> None:
        self._variant = _Variant()

    def prefix(self, buffer: bytes, pos: int) -> int:
        version = read_u64(buffer, pos)
        if version not in (1, 2):
            raise Unwalkable(f"Dynamic, version {version}")
        pos += 8
        if version == 1:
            _, pos = read_varint(buffer, pos)
        count, pos = read_varint(buffer, pos)
        names = [b"SharedVariant"]
        for _ in range(count):
            name, pos = read_text(buffer, pos)
            names.append(name)
        self._variant = _Variant(*(_String() if n == b"SharedVariant" else walker(n) for n in sorted(names)))
        return self._variant.prefix(buffer, pos)

    def data(self, buffer: bytes, pos: int, rows: int) -> int:
        return self._variant.data(buffer, pos, rows)


class _Json:
    """Typed paths, then dynamic paths (named in the prefix), then the paths that share one part of strings."""

    def __init__(self, *typed: Walker) -> None:
        self._typed = typed
        self._paths: _Parts = _Parts()
        self._as_string = False

    def prefix(self, buffer: bytes, pos: int) -> int:
        version = read_u64(buffer, pos)
        pos += 8
        self._as_string = version == 1
        if self._as_string:
            return pos
        if version not in (0, 2):
            raise Unwalkable(f"JSON, version {version}")
        if version == 0:
            _, pos = read_varint(buffer, pos)
        count, pos = read_varint(buffer, pos)
        for _ in range(count):
            _, pos = read_text(buffer, pos)
        self._paths = _Parts(*self._typed, *(_Dynamic() for _ in range(count)))
        return self._paths.prefix(buffer, pos)

    def data(self, buffer: bytes, pos: int, rows: int) -> int:
        if self._as_string:
            return _String().data(buffer, pos, rows)
        for part in self._paths.parts:
            pos = part.data(buffer, pos, rows)
        return _Array(_String(), _String()).data(buffer, pos, rows)


_SIZES = {
    **{f"{sign}Int{bits}": bits // 8 for sign in ("", "U") for bits in (8, 16, 32, 64, 128, 256)},
    "Bool": 1,
    "Nothing": 1,
    "Enum8": 1,
    "Enum16": 2,
    "Date": 2,
    "Date32": 4,
    "DateTime": 4,
    "Time": 4,
    "IPv4": 4,
    "DateTime64": 8,
    "Time64": 8,
    "UUID": 16,
    "IPv6": 16,
    "BFloat16": 2,
    "Float32": 4,
    "Float64": 8,
}
_ALIASES = {
    "Point": "Tuple(Float64, Float64)",
    "Ring": "Array(Point)",
    "LineString": "Array(Point)",
    "MultiLineString": "Array(LineString)",
    "Polygon": "Array(Ring)",
    "MultiPolygon": "Array(Polygon)",
    "Geometry": "Variant(LineString, MultiLineString, MultiPolygon, Point, Polygon, Ring)",
}


def _decimal(of: TypeName) -> Walker:
    precision = int(of.parameters[0])
    return _Fixed(next(size for digits, size in ((9, 4), (18, 8), (38, 16), (76, 32)) if precision <= digits))


def _low_cardinality(of: TypeName) -> Walker:
    inner = of.types[0]
    return _LowCardinality(_build(inner.types[0] if inner.name == "Nullable" else inner))


def _aggregate(of: TypeName) -> Walker:
    raise Unwalkable(of.name)


def _qbit(of: TypeName) -> Walker:
    bits = {"BFloat16": 16, "Float32": 32, "Float64": 64}[of.types[0].name]
    return _Tuple(*(_Fixed((int(of.parameters[-1]) + 7) // 8) for _ in range(bits)))


def _of_parts(kind: Callable[..., Walker], of: TypeName) -> Walker:
    return kind(*(_build(part) for part in of.types))


def _nested(of: TypeName) -> Walker:
    return _Array(_Tuple(*(_build(part) for part in of.types)))


_BUILDERS: dict[str, Callable[[TypeName], Walker]] = {
    "String": lambda _: _String(),
    "FixedString": lambda of: _Fixed(int(of.parameters[0])),
    "Decimal": _decimal,
    "Nullable": partial(_of_parts, _Nullable),
    "Array": partial(_of_parts, _Array),
    "Map": partial(_of_parts, _Array),
    "Tuple": partial(_of_parts, _Tuple),
    "Nested": _nested,
    "LowCardinality": _low_cardinality,
    "Variant": partial(_of_parts, _Variant),
    "Dynamic": lambda _: _Dynamic(),
    "JSON": partial(_of_parts, _Json),
    "SimpleAggregateFunction": lambda of: _build(of.types[-1]),
    "AggregateFunction": _aggregate,
    "QBit": _qbit,
}


def _build(of: TypeName) -> Walker:
    if size := _SIZES.get(of.name):
        return _Fixed(size)
    if of.name in _ALIASES:
        return walker(_ALIASES[of.name])
    if of.name.startswith("Interval"):
        return _Fixed(8)
    if of.name not in _BUILDERS:
        raise Unwalkable(of.name)
    return _BUILDERS[of.name](of)


@lru_cache(maxsize=512)
def _parsed(name: str) -> TypeName:
    return parse_type(name)


def walker(name: str | bytes) -> Walker:
    """A walker for one column of the type ``name``, written as the engine writes it.

    Raises:
        Unwalkable: no such type here, or no type at all.
    """
    try:
        return _build(_parsed(name.decode() if isinstance(name, bytes) else name))
    except (LookupError, ValueError, StopIteration, RecursionError) as error:
        raise Unwalkable(f"{name!r}") from error


def fixed_size(name: bytes) -> int | None:
    """Bytes of one value of the type ``name``; ``None`` where they differ or have a prefix before them."""
    try:
        one = walker(name)
    except Unwalkable:
        return None
    return one.size if isinstance(one, _Fixed) else None
