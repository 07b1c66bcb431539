"""Which encodings apply to a request's body and to its answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

from test_framework.embedded_clickhouse.encodings import Encoder, decoder, encoder, preferred_encoding
from test_framework.embedded_clickhouse.framing import BlockDecoder, BlockEncoder
from test_framework.embedded_clickhouse.request import QueryRequest

__all__ = ["BodyDecoder", "decode_all", "finish_all", "request_decoders", "response_encoder"]


class BodyDecoder(Protocol):
    """One layer of a body's encoding."""

    def feed(self, data: bytes) -> Iterator[bytes]: ...
    def finish(self) -> None: ...


def request_decoders(headers: Mapping[str, str], query: QueryRequest) -> list[BodyDecoder]:
    """The layers around a body, outermost first.

    Raises:
        EncodingError: an unknown Content-Encoding.
    """
    names = reversed(headers.get("Content-Encoding", "").split(","))
    layers: list[BodyDecoder] = [decoder(name) for name in names if name.strip().lower() not in ("", "identity")]
    if query.flag("decompress"):
        checked = not query.flag("http_native_compression_disable_checksumming_on_decompress")
        layers.append(BlockDecoder(checked=checked))
    return layers


def decode_all(layers: list[BodyDecoder], data: bytes) -> Iterator[bytes]:
    """Take one piece of a body through all layers."""
    if not layers:
        yield data
        return
    for piece in layers[0].feed(data):
        yield from decode_all(layers[1:], piece)


def finish_all(layers: list[BodyDecoder]) -> None:
    """Say that the body is over; a layer that is not complete raises."""
    for layer in layers:
        layer.finish()


class _Layers:
    """Several encoders as one, the innermost first."""

    def __init__(self, layers: list[Encoder]) -> None:
        self._layers = layers

    def feed(self, data: bytes) -> bytes:
        for layer in self._layers:
            data = layer.feed(data) if data else b""
        return data

    def flush(self) -> bytes:
        data = b""
        for layer in self._layers:
            data = (layer.feed(data) if data else b"") + layer.flush()
        return data

    def finish(self) -> bytes:
        data = b""
        for layer in self._layers:
            data = (layer.feed(data) if data else b"") + layer.finish()
        return data


def response_encoder(
    headers: Mapping[str, str], query: QueryRequest, *, default: str
) -> tuple[Encoder | None, dict[str, str]]:
    """The encoder of an answer, and the headers that name it.

    Args:
        default: whether answers are compressed where the request does not say.
    """
    layers: list[Encoder] = []
    extra = {}
    if query.flag("compress"):
        layers.append(BlockEncoder())
    if query.flag("enable_http_compression", default):
        name = preferred_encoding(headers.get("Accept-Encoding", ""))
        if name:
            layers.append(encoder(name))
            extra["Content-Encoding"] = name
    return (_Layers(layers) if layers else None), extra
