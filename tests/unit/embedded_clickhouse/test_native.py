"""The Native format with a revision: real blocks of the real engine, read by a public client's reader."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from clickhouse_connect.driver.query import QueryContext
from clickhouse_connect.driver.transform import NativeTransform
from hypothesis import given, settings
from hypothesis import strategies as st

from test_framework.embedded_clickhouse.native import BlockRewriter, Column, may_hold_bare_datetime
from test_framework.embedded_clickhouse.native_bytes import Incomplete, Unwalkable
from tests.unit.embedded_clickhouse.engine_child import EngineChild

INFO = bytes.fromhex("010002ffffffff00")
CONNECT = 54405  # what clickhouse-connect asks for
GO = 54460  # a revision with the byte for custom serialisation

EXPRESSIONS = r"""
number::UInt8
number::Int256
number::UInt128
number / 3
number::BFloat16
(number % 2)::Bool
toString(number)
repeat('é', number % 300)
toFixedString('abc', 5)
toDate(number)
toDate32(number)
toDateTime64(number, 6, 'Asia/Tokyo')
toTime(number)
number::Time64(3)
generateUUIDv4()
toIPv4(number)
toIPv6('::1')
cast(number % 2 + 1, 'Enum8(\'a b\' = 1, \'c)\' = 2)')
cast(number % 2 + 1, 'Enum16(\'a\' = 1, \'b\' = 2)')
number::Decimal(9, 2)
number::Decimal(18, 2)
number::Decimal(38, 2)
number::Decimal(76, 2)
number::Nullable(Decimal(10, 3))
toIntervalDay(number)
if(number % 2, null, number)
if(number % 3, null, toString(number))
toNullable(toDateTime(0, 'UTC'))
range(number % 5)
arrayMap(x -> range(x), range(number % 4))
arrayMap(x -> toString(x), range(number % 4))
emptyArrayUInt8()
[]
null
tuple(number, tuple(toString(number), [number]))
cast((number, toString(number)), 'Tuple(a UInt8, `b c` String)')
tuple()
[tuple()]
if(number % 2, tuple(1, 'x'), null)
cast([(1, 'a')], 'Nested(x UInt8, y String)')
map(toString(number), number)
map()
map('a', [number], 'b', [])
cast(map('a', 1), 'Map(LowCardinality(String), Nullable(UInt8))')
toLowCardinality(toString(number % 7))
toLowCardinality(toString(number))
toLowCardinality(if(number % 2, null, toString(number)))
toLowCardinality(number::UInt32)
arrayMap(x -> toLowCardinality(toString(x)), range(number % 3))
arrayMap(x -> toLowCardinality(toString(x)), range(0 * number))
tuple(toLowCardinality('a'), 1, toLowCardinality('b'))
number::Variant(UInt64, String)
multiIf(number % 3 = 0, number::Variant(UInt64, String), number % 3 = 1, 'x'::Variant(UInt64, String), null)
number::Dynamic
multiIf(number % 3 = 0, number::Dynamic, number % 3 = 1, 'x'::Dynamic, [1, 2]::Dynamic)
[number::Dynamic]
concat('{"a":', toString(number), ',"b":{"c":"x"},"d":[{"e":1}]}')::JSON
concat('{"a":', toString(number), ',"z":"q"}')::JSON(a UInt32, b.c String, SKIP q, SKIP REGEXP 'r', max_dynamic_paths=2)
concat('{"a":1,"b":2,"c":3,"k', toString(number), '":1}')::JSON(max_dynamic_paths=2, max_dynamic_types=2)
multiIf(number % 2, '{"a":1}', '{"a":"x","b":[1]}')::JSON
array('{"a":1}'::JSON)
(1, 2)::Point
[(1, 2)]::Ring
[(1, 2)]::LineString
[[(1, 2)]]::Polygon
[[[(1, 2)]]]::MultiPolygon
(1, 2)::Point::Geometry
[1, 2, 3]::QBit(Float32, 3)
cast(number, 'SimpleAggregateFunction(sum, UInt64)')
""".strip().splitlines()
ALLOW = "allow_suspicious_low_cardinality_types=1, allow_suspicious_variant_types=1, enable_time_time64_type=1"


def sql(expression: str, rows: int, block: int) -> str:
    select = f"SELECT {expression} AS v, number AS n, toString(number) AS s FROM numbers({rows})"
    return f"{select} SETTINGS max_block_size={block}, {ALLOW}"


def described(engine: EngineChild, query: str) -> Sequence[Column]:
    answer = engine.query(f"DESCRIBE ({query})", "TSVRaw")
    assert isinstance(answer, bytes), answer
    return [Column(*line.split(b"\t")[:2]) for line in answer.splitlines()]


class _Source:
    """What clickhouse-connect's reader reads from."""

    def __init__(self, body: bytes) -> None:
        from clickhouse_connect.driver.ctypes import RespBuffCls

        class Response:
            gen = iter([body])

            def close(self) -> None: ...

        self.buffer = RespBuffCls(Response())


def read(body: bytes, *, info: bool) -> tuple[tuple[str, ...], list[str], list[Sequence[object]]]:
    """Names, types and rows, as clickhouse-connect sees them."""
    context = QueryContext()
    context.block_info = info
    result = NativeTransform.parse_response(_Source(body).buffer, context)
    return result.column_names, [one.name for one in result.column_types], result.result_rows


@pytest.mark.parametrize("expression", EXPRESSIONS)
@pytest.mark.parametrize(("rows", "block"), [(1, 10), (40, 7), (1000, 65505)])
def test_every_block_of_every_type_is_walked_to_its_exact_end(
    engine: EngineChild, expression: str, rows: int, block: int
) -> None:
    blocks = [one for one in engine.stream(sql(expression, rows, block)) if one[1]]
    assert blocks, expression
    rewritten = BlockRewriter(CONNECT).blocks(b"".join(blocks))
    assert rewritten == b"".join(INFO + one for one in blocks)


@pytest.mark.parametrize("step", [1, 13, 4096])
def test_the_cut_of_the_stream_does_not_matter(engine: EngineChild, step: int) -> None:
    body = engine.query(
        sql(EXPRESSIONS[-10], 60, 9) + ", output_format_native_encode_types_in_binary_format=0", "Native"
    )
    assert isinstance(body, bytes)
    rewriter = BlockRewriter(CONNECT)
    pieces = [rewriter.feed(body[at : at + step]) for at in range(0, len(body), step)]
    assert b"".join([*pieces, rewriter.finish()]) == BlockRewriter(CONNECT).blocks(body)


def test_a_stream_that_ends_inside_a_block_is_an_error(engine: EngineChild) -> None:
    body = engine.query(sql("toString(number)", 10, 100), "Native")
    assert isinstance(body, bytes)
    with pytest.raises(Incomplete):
        BlockRewriter(CONNECT).blocks(body[:-1])


def test_without_a_revision_nothing_is_changed(engine: EngineChild) -> None:
    body = engine.query(sql("toDateTime(0, 'UTC')", 10, 3), "Native")
    assert isinstance(body, bytes)
    assert BlockRewriter(0).block(body) == body


def test_a_block_without_rows_is_not_sent() -> None:
    header_only = b"\x01\x00\x01a\x05UInt8"
    assert BlockRewriter(CONNECT).block(header_only) == b""
    assert BlockRewriter(CONNECT).block(b"") == b""


ZONED = (
    "SELECT {before} toDateTime(number, 'Asia/Tokyo') AS at, toString(number) AS s, toDateTime(number) AS plain{after} "
    "FROM numbers(50)"
)


@pytest.mark.parametrize(
    "before", ["", "number AS n,", "repeat('x', number) AS x,", "[toString(number)] AS y, 1 AS z,"]
)
@pytest.mark.parametrize("after", ["", ", toDateTime(0, 'America/New_York') AS later"])
def test_the_reader_of_clickhouse_connect_sees_the_zone(engine: EngineChild, before: str, after: str) -> None:
    query = ZONED.format(before=before, after=after)
    blocks = engine.stream(query)
    rewriter = BlockRewriter(CONNECT, lambda: described(engine, query))
    names, types, rows = read(b"".join(rewriter.block(one) for one in blocks), info=True)
    assert types[names.index("at")] == "DateTime('Asia/Tokyo')"
    assert types[names.index("plain")] == "DateTime"
    assert rows[7][names.index("at")] == datetime(1970, 1, 1, 9, 0, 7, tzinfo=ZoneInfo("Asia/Tokyo"))
    assert [row[names.index("s")] for row in rows] == [str(number) for number in range(50)]
    if after:
        assert types[-1] == "DateTime('America/New_York')"


@pytest.mark.parametrize("rows", [1, 30])
def test_strings_that_look_like_a_header_do_not_mislead(engine: EngineChild, rows: int) -> None:
    """The data holds the very bytes of the header that is looked for."""
    trap = r"concat(char(2), 'at', char(8), 'DateTime')"
    query = (
        f"SELECT {trap} AS x, {trap} AS x2, toDateTime(number, 'Asia/Tokyo') AS at, {trap} AS y FROM numbers({rows})"
    )
    rewriter = BlockRewriter(CONNECT, lambda: described(engine, query))
    names, types, seen = read(b"".join(rewriter.block(one) for one in engine.stream(query)), info=True)
    assert names == ("x", "x2", "at", "y")
    assert types == ["String", "String", "DateTime('Asia/Tokyo')", "String"]
    assert {(row[0], row[1], row[3]) for row in seen} == {("\x02at\x08DateTime",) * 3}


def test_columns_of_the_same_name_get_their_own_zones() -> None:
    columns = [Column(b"a", b"DateTime('UTC')"), Column(b"s", b"String"), Column(b"a", b"DateTime('Asia/Tokyo')")]
    block = b"\x03\x01\x01a\x08DateTime\x00\x00\x00\x00\x01s\x06String\x01x\x01a\x08DateTime\x00\x00\x00\x00"
    _, types, _ = read(BlockRewriter(CONNECT, lambda: columns).block(block), info=True)
    assert types == ["DateTime('UTC')", "String", "DateTime('Asia/Tokyo')"]


def test_nobody_is_asked_for_columns_when_no_zone_is_missing(engine: EngineChild) -> None:
    def describe() -> Sequence[Column]:
        raise AssertionError("asked")

    query = "SELECT 'x', [toDateTime(number, 'UTC')], toDateTime64(number, 3, 'UTC') FROM numbers(9)"
    for block in engine.stream(query):
        assert not may_hold_bare_datetime(block, CONNECT)
        assert BlockRewriter(CONNECT, describe).block(block) == INFO + block


def test_columns_are_asked_for_once_for_many_blocks(engine: EngineChild) -> None:
    asked = []
    query = "SELECT toDateTime(number, 'UTC') AS a FROM numbers(100) SETTINGS max_block_size=9"

    def describe() -> Sequence[Column]:
        asked.append(query)
        return [Column(b"a", b"DateTime('UTC')")]

    rewriter = BlockRewriter(CONNECT, describe)
    _, types, rows = read(b"".join(rewriter.block(one) for one in engine.stream(query)), info=True)
    assert (types, len(rows), len(asked)) == (["DateTime('UTC')"], 100, 1)


def test_newer_revisions_get_a_byte_for_the_serialisation_of_each_column(engine: EngineChild) -> None:
    [block] = [one for one in engine.stream("SELECT 'ab' AS s, 7::UInt8 AS n") if one[1]]
    assert BlockRewriter(GO).block(block) == INFO + b"\x02\x01\x01s\x06String\x00\x02ab\x01n\x05UInt8\x00\x07"


def test_the_newest_revisions_get_the_third_field_of_the_block_info() -> None:
    assert BlockRewriter(54480).block(b"\x01\x01\x01a\x05UInt8\x07")[:10] == bytes.fromhex("010002ffffffff030000")


def test_a_state_of_an_aggregate_is_passed_on_where_nothing_within_must_change(engine: EngineChild) -> None:
    [block] = [one for one in engine.stream("SELECT uniqState(number) AS u, 1 AS n FROM numbers(10)") if one[1]]
    assert BlockRewriter(CONNECT).block(block) == INFO + block
    with pytest.raises(Unwalkable):
        BlockRewriter(GO).block(block)
    with pytest.raises(Unwalkable):
        BlockRewriter(CONNECT).blocks(block)


def test_zones_behind_a_state_of_an_aggregate_are_found_by_their_names(engine: EngineChild) -> None:
    query = "SELECT uniqState(number) AS u, toDateTime(5, 'Asia/Tokyo') AS at FROM numbers(10)"
    [block] = [one for one in engine.stream(query) if one[1]]
    rewritten = BlockRewriter(CONNECT, lambda: described(engine, query)).block(block)
    assert rewritten.endswith(b"\x02at\x16DateTime('Asia/Tokyo')\x05\x00\x00\x00")


@settings(max_examples=500, deadline=None)
@given(noise=st.binary(max_size=200), revision=st.sampled_from([CONNECT, GO]))
def test_noise_raises_one_of_two_errors_or_passes(noise: bytes, revision: int) -> None:
    with contextlib.suppress(Incomplete, Unwalkable):
        BlockRewriter(revision).blocks(noise)


def test_damaged_blocks_never_raise_anything_else(engine: EngineChild) -> None:
    random_ = random.Random(5)
    for expression in EXPRESSIONS:
        [block] = [one for one in engine.stream(sql(expression, 3, 10)) if one[1]]
        for _ in range(20):
            damaged = bytearray(block)
            damaged[random_.randrange(len(damaged))] = random_.randrange(256)
            try:
                BlockRewriter(CONNECT).blocks(bytes(damaged))
            except (Incomplete, Unwalkable):
                continue
