"""Requests that no client should send: body data is never run as SQL, and the endpoint answers on.

About 1,000 requests by default, 10,000 with ``FUZZ_EXAMPLES=10000``.
"""

from __future__ import annotations

import base64
import gzip
import os
import socket
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote_from_bytes

import httpx
import lz4.frame
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from test_framework.embedded_clickhouse.encodings import zstd_module
from test_framework.embedded_clickhouse.framing import BlockEncoder
from tests.integration.embedded_clickhouse.conftest import Server

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "1000"))
CANARY, SINK, PWNED = (f"{name}_{uuid.uuid4().hex[:8]}" for name in ("canary", "sink", "pwned"))
ATTACKS = [
    f"DROP TABLE {CANARY}",
    f"CREATE TABLE {PWNED} (a Int8) ENGINE = Memory",
    f"INSERT INTO {PWNED} VALUES (1)",
    "SYSTEM SHUTDOWN",
    "SYSTEM KILL",
]


@dataclass(frozen=True)
class Target:
    """The endpoint, its credentials, and the tables that tell whether an attack ran."""

    server: Server
    http: httpx.Client

    def exchange(self, request: bytes, *, half_close: bool) -> bytes:
        """Send raw bytes and read the answer until the endpoint closes."""
        with socket.create_connection(("127.0.0.1", self.server.port), timeout=20) as connection:
            try:
                connection.sendall(request)
                if half_close:
                    connection.shutdown(socket.SHUT_WR)
                answer = b""
                while piece := connection.recv(65536):
                    answer += piece
            except (ConnectionResetError, BrokenPipeError):
                return b""  # the endpoint may close on what is no HTTP
            return answer

    def check(self) -> None:
        """No attack has run, and the endpoint works."""
        sql = f"SELECT (SELECT count() FROM {CANARY}), (SELECT count() FROM system.tables WHERE name = '{PWNED}')"
        answer = self.http.post("/", content=sql)
        assert (answer.status_code, answer.text) == (200, "1\t0\n")


@pytest.fixture(scope="module")
def target(server: Server) -> Iterator[Target]:
    login = {"X-ClickHouse-User": server.user, "X-ClickHouse-Key": server.password}
    with httpx.Client(base_url=server.url, headers=login, timeout=30) as http:
        for sql in (
            f"CREATE TABLE {CANARY} (a Int8) ENGINE = Memory",
            f"INSERT INTO {CANARY} VALUES (1)",
            f"CREATE TABLE {SINK} (a String, b String) ENGINE = Null",
        ):
            assert http.post("/", content=sql).status_code == 200
        yield Target(server, http)
        assert server.process.poll() is None


ATTACK = st.sampled_from([attack.encode() for attack in ATTACKS])
GLUE = st.sampled_from(
    [b"\n\n", b";", b";\n", b"\r\n\r\n", b"\x00", b"'", b"*/", b"$$;", b"`;", b'";', b"\n;\n", b"\\';", b")"]
)
NOISE = st.binary(max_size=30)
DATA = st.lists(st.one_of(NOISE, st.builds(lambda g, a: g + a + g, GLUE, ATTACK)), min_size=1, max_size=4).map(b"".join)
SPACE = st.sampled_from([b" ", b"\n", b"\t", b" /* x */ ", b" -- y\n", b" /* /* */ ' */ "])
FORMAT = st.sampled_from(
    [*["CSV", "TSV", "Values", "RawBLOB", "One"] * 2, "JSONEachRow", "RowBinary", "Native", "TSKV", "Parquet", "Nope"]
)
COLUMNS = st.sampled_from([*[b"", b" (a, b)", b" (`a`)"] * 3, b"(a,", b" (a b)"])
GOOD_TAILS = [
    *(b"FORMAT FMT\n", b"FORMAT FMT ", b"FORMAT FMT", b"VALUES ", b"VALUES", b"VALUES (", b"SELECT 'x', 'y'"),
    *(b"SETTINGS max_threads=1 FORMAT FMT\n", b"SELECT a, b FROM input('a String, b String') FORMAT FMT\n"),
]
BAD_TAILS = [
    *(b"FORMAT FMT;\n", b"", b"SETTINGS FORMAT FMT\n", b"FROM INFILE '/etc/passwd' FORMAT FMT\n", b"FORMAT 'FMT'\n"),
]
HEAD = st.builds(
    lambda space, columns, tail, name: space.join([b"INSERT", b"INTO " + SINK.encode() + columns, tail]).replace(
        b"FMT", name.encode()
    ),
    SPACE,
    COLUMNS,
    st.sampled_from(GOOD_TAILS * 3 + BAD_TAILS),
    FORMAT,
)
OTHER = st.sampled_from(
    [b"SELECT 1 ", b"EXPLAIN SYNTAX ", b"DESCRIBE TABLE ", b"SELECT '", b"SELECT $$ ", b"WITH 1 AS x "]
)
# Weighted by hand: alternatives that occur twice in one_of count once.
STATEMENT = st.sampled_from([*[HEAD] * 6, st.builds(lambda first, head: first + head, OTHER, HEAD), OTHER]).flatmap(
    lambda kind: kind
)


def packed(body: bytes, encoding: str) -> bytes:
    if encoding == "gzip":
        return gzip.compress(body)
    if encoding == "zstd":
        return bytes(zstd_module().compress(body))
    if encoding == "lz4":
        return bytes(lz4.frame.compress(body))
    if encoding == "blocks":
        encoder = BlockEncoder()
        return encoder.feed(body) + encoder.finish()
    return body


def chunked(body: bytes, sizes: list[int], damage: str) -> bytes:
    """The body in chunks, cut at ``sizes``; perhaps with a size that lies or without an end."""
    out, pos = [], 0
    for size in [*sizes, len(body)]:
        piece = body[pos : pos + size]
        pos += size
        if piece:
            told = len(piece) + (7 if damage == "size" else 0)
            out.append(f"{told:x}\r\n".encode() + piece + b"\r\n")
    return b"".join(out) + (b"" if damage == "end" else b"0\r\n\r\n")


@dataclass(frozen=True)
class Request:
    """One request, as bytes, and whether its sender stops in the middle."""

    raw: bytes
    half_close: bool


@st.composite
def requests(draw: st.DrawFn) -> Request:
    statement, data = draw(STATEMENT), draw(DATA)
    where = draw(st.sampled_from(["body", "body", "url", "url", "split"]))
    encoding = draw(st.sampled_from([*[""] * 6, "gzip", "zstd", "lz4", "blocks", "gzip told as zstd", "nonsense"]))
    damage = draw(st.sampled_from([*[""] * 12, "cut", "flip", "length+", "length-", "size", "end", "no length"]))
    url, body = "", data
    if where == "body":
        body = statement + data
    else:
        cut = len(statement) if where == "url" else draw(st.integers(0, len(statement)))
        url, body = quote_from_bytes(statement[:cut]), statement[cut:] + data
    body = packed(body, encoding.split()[0] if encoding else "")
    if damage == "cut":
        body = body[: draw(st.integers(0, len(body)))]
    if damage == "flip" and body:
        at = draw(st.integers(0, len(body) - 1))
        body = body[:at] + bytes([body[at] ^ draw(st.integers(1, 255))]) + body[at + 1 :]
    return _assembled(draw, url, body, encoding, damage)


def _assembled(draw: st.DrawFn, url: str, body: bytes, encoding: str, damage: str) -> Request:
    arguments = draw(
        st.sampled_from(
            ["", "&session_id=fuzz&session_timeout=5", "&wait_end_of_query=1", "&compress=1", "&nope=1", "&param_a=%ff"]
        )
    )
    if encoding == "blocks":
        arguments += "&decompress=1"
    method = draw(st.sampled_from([*["POST"] * 12, "GET", "PUT", "HEAD", "BREW"]))
    lines = [f"{method} /?query={url}{arguments} HTTP/1.1", "Host: x", "Connection: close"]
    told = {"": "", "blocks": "", "gzip told as zstd": "zstd"}.get(encoding, encoding)
    if told:
        lines.append(f"Content-Encoding: {told}")
    if damage in ("size", "end") or draw(st.booleans()):
        lines.append("Transfer-Encoding: chunked")
        body = chunked(body, draw(st.lists(st.integers(1, 20), max_size=6)), damage)
    elif damage != "no length":
        lines.append(f"Content-Length: {max(0, len(body) + {'length+': 9, 'length-': -3}.get(damage, 0))}")
    head = "\r\n".join([*lines, "LOGIN", "", ""]).encode()
    return Request(head + body, damage in ("length+", "size", "end", "cut", "no length"))


def with_login(server: Server, raw: bytes) -> bytes:
    token = base64.b64encode(f"{server.user}:{server.password}".encode())
    return raw.replace(b"\r\nLOGIN\r\n", b"\r\nAuthorization: Basic " + token + b"\r\n", 1)


#: Requests of one example: looking after each of them whether it did harm would cost as much as the request.
BATCH = 5
FUZZ = settings(
    max_examples=EXAMPLES * 7 // 10 // BATCH,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
FEW = settings(FUZZ, max_examples=EXAMPLES * 3 // 10)


@pytest.mark.timeout(60 + EXAMPLES // 20)
@FUZZ
@given(batch=st.lists(requests(), min_size=BATCH, max_size=BATCH))
def test_no_data_is_run_and_every_request_is_answered(target: Target, batch: list[Request]) -> None:
    for request in batch:
        answer = target.exchange(with_login(target.server, request.raw), half_close=request.half_close)
        if not request.half_close:
            assert answer.startswith(b"HTTP/1."), answer[:200]
    target.check()


def test_no_format_of_the_engine_runs_its_data(target: Target) -> None:
    names = target.http.post("/", content="SELECT name FROM system.formats WHERE is_input ORDER BY name").text.split()
    assert len(names) > 50
    attack = ATTACKS[0].encode()
    bodies = [b"\n\n" + attack + b"\n", b"1\t2\n\n" + attack + b";\n", b"('a', 'b');\n" + attack, b"'\n;" + attack]
    for name in names:
        for body in bodies:
            insert = f"INSERT INTO {SINK} FORMAT {name}"
            target.http.post("/", content=insert.encode() + b"\n" + body)
            target.http.post("/", params={"query": insert}, content=body)
        target.check()


PART = st.builds(
    lambda name, filename, data: (name, filename, data),
    st.sampled_from(["query", "data", "data_structure", "data_format", "param_a", "ids", "x y", "é", ""]),
    st.sampled_from([None, "f", "", "a;b"]),
    DATA,
)


@pytest.mark.timeout(60 + EXAMPLES // 20)
@FEW
@given(
    parts=st.lists(PART, max_size=5),
    boundary=st.sampled_from(["b", "b b", "-" * 50]),
    statement=OTHER,
    cut=st.integers(0, 40),
)
def test_no_part_of_a_form_is_run_but_the_statement(
    target: Target, parts: list[tuple[str, str | None, bytes]], boundary: str, statement: bytes, cut: int
) -> None:
    body = b""
    for name, filename, data in parts:
        given_data = b"SELECT 1" if name == "query" else data
        extra = f'; filename="{filename}"' if filename is not None else ""
        body += (
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{extra}\r\n\r\n'.encode()
            + given_data
            + b"\r\n"
        )
    body = (body + f"--{boundary}--\r\n".encode())[: -cut or None]
    head = (
        f"POST /?query={quote_from_bytes(statement)} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nLOGIN\r\n"
        f'Content-Type: multipart/form-data; boundary="{boundary}"\r\nContent-Length: {len(body)}\r\n\r\n'
    )
    answer = target.exchange(with_login(target.server, head.encode() + body), half_close=False)
    assert answer.startswith(b"HTTP/1."), answer[:200]
    target.check()


@settings(FUZZ, max_examples=100)
@given(
    noise=st.one_of(st.binary(max_size=300), st.builds(lambda a: b"POST / HTTP/1.1\r\n" + a, st.binary(max_size=100)))
)
def test_what_is_no_http_at_all_does_no_harm(target: Target, noise: bytes) -> None:
    target.exchange(noise, half_close=True)
    target.check()
