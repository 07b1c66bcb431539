"""ClickHouse's block compression, against column files that the engine itself wrote."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from test_framework.embedded_clickhouse.framing import BLOCK_SIZE, BlockDecoder, BlockEncoder, FramingError

METHODS = ["lz4", "zstd", "none"]

# Files of a MergeTree column with `number % 10` for 300 numbers as UInt8.
COLUMN = bytes(range(10)) * 30
ENGINE_FILES = {
    "lz4": "f9df6974ef6e47cc9d20ed534ec111c8821e0000002c010000af000102030405060708090a00ff0b500506070809",
    "zstd": "553f4e867c4b9439ed6d977f6b37a0dc90240000002c01000028b52ffd602c008d0000500001020304050607080901001f550b12",
    "none": "d7e634f9a0b31c1bbd203bb5eef13e6b02350100002c010000" + COLUMN.hex(),
}


def decode(body: bytes, *, step: int = 1 << 30, limit: int = 1 << 30) -> bytes:
    decoder = BlockDecoder(limit=limit)
    pieces = [piece for at in range(0, len(body), step) for piece in decoder.feed(body[at : at + step])]
    decoder.finish()
    return b"".join(pieces)


def encode(data: bytes, method: str) -> bytes:
    encoder = BlockEncoder(method)
    return encoder.feed(data) + encoder.finish()


@pytest.mark.parametrize("method", METHODS)
def test_a_column_file_of_the_engine_decodes_to_the_column(method: str) -> None:
    assert decode(bytes.fromhex(ENGINE_FILES[method])) == COLUMN


def test_our_uncompressed_block_is_the_engines_byte_for_byte() -> None:
    assert encode(COLUMN, "none") == bytes.fromhex(ENGINE_FILES["none"])


@pytest.mark.parametrize("method", METHODS)
def test_large_bodies_are_cut_into_blocks_of_the_size_a_server_uses(method: str) -> None:
    data = random.Random(7).randbytes(1000) * 3000
    decoder = BlockDecoder()
    pieces = list(decoder.feed(encode(data, method)))
    assert b"".join(pieces) == data
    assert {len(piece) for piece in pieces[:-1]} == {BLOCK_SIZE}


@settings(max_examples=400, deadline=None)
@given(data=st.binary(max_size=2000), method=st.sampled_from(METHODS), step=st.integers(1, 60))
def test_any_body_survives_any_cut_of_its_blocks(data: bytes, method: str, step: int) -> None:
    assert decode(encode(data, method), step=step) == data


@settings(max_examples=400, deadline=None)
@given(data=st.binary(min_size=1, max_size=300), method=st.sampled_from(METHODS), flips=st.data())
def test_one_changed_byte_is_always_found(data: bytes, method: str, flips: st.DataObject) -> None:
    body = bytearray(encode(data, method))
    body[flips.draw(st.integers(0, len(body) - 1))] ^= flips.draw(st.integers(1, 255))
    with pytest.raises(FramingError):
        decode(bytes(body))


@settings(max_examples=100, deadline=None)
@given(data=st.binary(min_size=1, max_size=300), method=st.sampled_from(METHODS), cut=st.data())
def test_a_body_cut_short_is_an_error(data: bytes, method: str, cut: st.DataObject) -> None:
    body = encode(data, method)
    with pytest.raises(FramingError) as error:
        decode(body[: cut.draw(st.integers(1, len(body) - 1))])
    assert error.value.code == 33


@settings(max_examples=400, deadline=None)
@given(body=st.binary(min_size=25, max_size=400))
def test_noise_is_refused_and_nothing_else_is_raised(body: bytes) -> None:
    with pytest.raises(FramingError):
        decode(body)


@pytest.mark.parametrize("size", [0xFFFFFFFF, (1 << 30) + 1])
def test_a_header_that_claims_gigabytes_is_refused_before_they_are_reserved(size: int) -> None:
    header = bytes(16) + b"\x82" + (100).to_bytes(4, "little") + size.to_bytes(4, "little")
    with pytest.raises(FramingError) as error:
        list(BlockDecoder().feed(header))
    assert error.value.name == "TOO_LARGE_SIZE_COMPRESSED"


def test_a_block_above_the_given_limit_is_refused() -> None:
    with pytest.raises(FramingError) as error:
        decode(encode(bytes(5000), "lz4"), limit=4999)
    assert error.value.code == 39


def test_a_checksum_of_something_else_is_told_as_the_engine_tells_it() -> None:
    body = bytearray(encode(b"abc", "lz4"))
    body[0] ^= 1
    with pytest.raises(FramingError) as error:
        decode(bytes(body))
    assert (error.value.code, error.value.name) == (40, "CHECKSUM_DOESNT_MATCH")


def test_an_empty_body_has_no_blocks() -> None:
    assert encode(b"", "lz4") == b""
    assert decode(b"") == b""


def test_flushed_blocks_can_be_read_before_the_end() -> None:
    encoder = BlockEncoder("lz4")
    first = encoder.feed(b"abc") + encoder.flush()
    assert decode(first) == b"abc"
    assert decode(first + encoder.feed(b"def") + encoder.finish()) == b"abcdef"


def test_checksums_count_unless_they_shall_not() -> None:
    encoder = BlockEncoder("lz4")
    block = bytearray(encoder.feed(b"SELECT 1") + encoder.finish())
    block[:16] = b"x" * 16
    assert b"".join(BlockDecoder(checked=False).feed(bytes(block))) == b"SELECT 1"
    with pytest.raises(FramingError):
        list(BlockDecoder().feed(bytes(block)))
