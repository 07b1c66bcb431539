"""Content encodings, against the ordinary one-shot compressors."""

from __future__ import annotations

import bz2
import gzip
import lzma
import random
import zlib
from collections.abc import Callable

import brotli
import lz4.frame
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from test_framework.embedded_clickhouse.encodings import (
    EncodingError,
    decoder,
    encoder,
    preferred_encoding,
    zstd_module,
)


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstd_module().compress,
    "lz4": lz4.frame.compress,
    "xz": lzma.compress,
    "bz2": bz2.compress,
}
DECOMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.decompress,
    "deflate": zlib.decompress,
    "br": brotli.decompress,
    "zstd": zstd_module().decompress,
    "lz4": lz4.frame.decompress,
    "xz": lzma.decompress,
    "bz2": bz2.decompress,
}
NAMES = sorted(COMPRESS)
IN_FRAMES = sorted(set(NAMES) - {"br"})


def decode(name: str, body: bytes, *, step: int = 1 << 30, max_piece: int = 1 << 20) -> bytes:
    pieces = pieces_of(name, body, step=step, max_piece=max_piece)
    return b"".join(pieces)


def pieces_of(name: str, body: bytes, *, step: int, max_piece: int) -> list[bytes]:
    one = decoder(name, max_piece=max_piece)
    pieces = [piece for at in range(0, len(body), step) for piece in one.feed(body[at : at + step])]
    one.finish()
    return pieces


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=3000), name=st.sampled_from(NAMES), step=st.integers(1, 200), piece=st.integers(1, 400))
def test_any_body_survives_any_cut_and_any_size_of_piece(data: bytes, name: str, step: int, piece: int) -> None:
    body = COMPRESS[name](data)
    if step < 10:
        body, step = body[:], max(step, len(body) // 500 + 1)
    assert decode(name, body, step=step, max_piece=piece) == data


@settings(max_examples=200, deadline=None)
@given(
    parts=st.lists(st.binary(max_size=300), min_size=1, max_size=5),
    name=st.sampled_from(IN_FRAMES),
    step=st.integers(1, 99),
)
def test_several_frames_in_a_row_are_one_body(parts: list[bytes], name: str, step: int) -> None:
    body = b"".join(COMPRESS[name](part) for part in parts)
    assert decode(name, body, step=step) == b"".join(parts)


@settings(max_examples=200, deadline=None)
@given(parts=st.lists(st.binary(max_size=300), max_size=5), name=st.sampled_from(NAMES))
def test_what_the_encoders_make_any_client_can_read(parts: list[bytes], name: str) -> None:
    one = encoder(name)
    body = b"".join([*(one.feed(part) for part in parts), one.finish()])
    assert DECOMPRESS[name](body) == b"".join(parts)


@pytest.mark.parametrize("name", ["gzip", "deflate", "br", "zstd", "lz4"])
def test_flushed_data_can_be_read_before_the_end(name: str) -> None:
    one, other = encoder(name), decoder(name)
    sent = one.feed(b"first") + one.flush()
    assert b"".join(other.feed(sent)) == b"first"
    rest = one.feed(b" second") + one.finish()
    assert b"".join(other.feed(rest)) == b" second"
    other.finish()


@settings(max_examples=300, deadline=None)
@given(data=st.binary(min_size=1, max_size=500), name=st.sampled_from(NAMES), cut=st.data())
def test_a_body_cut_short_is_an_error(data: bytes, name: str, cut: st.DataObject) -> None:
    body = COMPRESS[name](data)
    with pytest.raises(EncodingError):
        decode(name, body[: cut.draw(st.integers(1, len(body) - 1))])


@settings(max_examples=400, deadline=None)
@given(data=st.binary(max_size=300), name=st.sampled_from(NAMES), damage=st.data())
def test_damage_gives_an_encoding_error_or_a_body_but_nothing_else(
    data: bytes, name: str, damage: st.DataObject
) -> None:
    body = bytearray(COMPRESS[name](data))
    for _ in range(damage.draw(st.integers(1, 4))):
        body[damage.draw(st.integers(0, len(body) - 1))] = damage.draw(st.integers(0, 255))
    try:
        decode(name, bytes(body), step=damage.draw(st.integers(1, 100)))
    except EncodingError as error:
        assert error.code and error.name


@settings(max_examples=200, deadline=None)
@given(name=st.sampled_from(NAMES), noise=st.binary(min_size=8, max_size=200))
def test_noise_raises_an_encoding_error_or_nothing(name: str, noise: bytes) -> None:
    try:
        decode(name, noise)
    except EncodingError as error:
        assert error.name.endswith("FAILED")


@pytest.mark.parametrize("name", NAMES)
def test_plain_text_behind_a_compressed_body_is_an_error(name: str) -> None:
    """Clients append the text of their own failure to a body that they had begun to send."""
    with pytest.raises(EncodingError):
        decode(name, COMPRESS[name](b"1\t2\n") + b"unable to serialise row 7")


@pytest.mark.parametrize("name", NAMES)
def test_a_body_that_inflates_a_thousandfold_comes_in_bounded_pieces(name: str) -> None:
    bomb = COMPRESS[name](bytes(30_000_000))
    assert len(bomb) < 300_000
    total = 0
    one = decoder(name, max_piece=65536)
    for piece in one.feed(bomb):
        assert len(piece) <= 2 * 65536
        total += len(piece)
    one.finish()
    assert total == 30_000_000


@pytest.mark.parametrize("name", ["gzip", "deflate", "br", "zstd", "lz4", "xz", "bz2"])
def test_an_empty_body_is_empty_in_every_encoding(name: str) -> None:
    assert decode(name, b"") == b""


def test_deflate_without_zlib_frame_is_read_too() -> None:
    data = random.Random(3).randbytes(5000)
    assert decode("deflate", raw_deflate(data), step=1) == data


@pytest.mark.parametrize(("given", "meant"), [("x-gzip", "gzip"), ("GZIP", "gzip"), (" br ", "br"), ("lzma", "xz")])
def test_other_spellings_are_understood(given: str, meant: str) -> None:
    assert decode(given, COMPRESS[meant](b"abc")) == b"abc"


def test_an_unknown_encoding_is_refused_with_the_code_of_a_server() -> None:
    with pytest.raises(EncodingError, match="Unknown compression method 'compress'") as error:
        decoder("compress")
    assert error.value.code == 48
    with pytest.raises(EncodingError):
        encoder("compress")


@pytest.mark.parametrize(
    ("accepted", "chosen"),
    [
        ("gzip, deflate, br, zstd", "zstd"),
        ("gzip, deflate", "gzip"),
        ("deflate", "deflate"),
        ("lz4", "lz4"),
        ("zstd;q=0, gzip;q=0.5", "gzip"),
        ("identity", None),
        ("", None),
        ("*", None),
    ],
)
def test_the_answer_gets_the_encoding_that_a_server_would_choose(accepted: str, chosen: str | None) -> None:
    assert preferred_encoding(accepted) == chosen
