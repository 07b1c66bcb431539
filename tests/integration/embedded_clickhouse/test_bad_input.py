"""Requests that are wrong in one way: what is answered, that nothing is written, and that the connection goes on."""

from __future__ import annotations

import base64
import bz2
import gzip
import http.client
import lzma
import socket
import struct
import uuid
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import brotli
import httpx
import lz4.frame
import pytest

from test_framework.embedded_clickhouse.encodings import zstd_module
from test_framework.embedded_clickhouse.framing import BlockEncoder
from tests.integration.embedded_clickhouse.conftest import Server

TABLE = f"bad_{uuid.uuid4().hex[:8]}"
ROWS = b"".join(b"%d\tx%d\n" % (number, number * 7919 % 1_000_003) for number in range(2000))
#: So much that a thread of its own takes it from the connection.
LARGE = ROWS * 300
INSERT = f"/?query=INSERT+INTO+{TABLE}+FORMAT+TSV"
CHUNKED = "Transfer-Encoding: chunked"


@dataclass(frozen=True)
class Bad:
    """A request and what it shall get."""

    status: int
    #: of the error; ``None`` where what came is no request at all, and for what is no error
    code: int | None
    body: bytes = b"SELECT 1"
    target: str = "/"
    method: str = "POST"
    headers: tuple[str, ...] = ()
    #: as told; by default what is true
    length: str | None = None
    login: bool = True
    #: the sender ends its side behind the body
    ends: bool = False
    #: whether the connection goes on
    goes_on: bool = True

    def raw(self, login: str) -> bytes:
        lines = [f"{self.method} {self.target} HTTP/1.1", "Host: x", *self.headers]
        if self.login:
            lines.append(f"Authorization: Basic {login}")
        length = str(len(self.body)) if self.length is None else self.length
        if CHUNKED not in self.headers and length:
            lines.append(f"Content-Length: {length}")
        return "\r\n".join([*lines, "", ""]).encode() + self.body


@dataclass
class Wire:
    """One connection, kept alive."""

    server: Server
    connection: socket.socket = field(init=False)

    def __post_init__(self) -> None:
        self.connection = socket.create_connection(("127.0.0.1", self.server.port), timeout=60)

    def answer(self, bad: Bad) -> tuple[int, int | None]:
        """Send, and read the whole answer: its status and the code of its error."""
        login = base64.b64encode(f"{self.server.user}:{self.server.password}".encode()).decode()
        self.connection.sendall(bad.raw(login))
        if bad.ends:
            self.connection.shutdown(socket.SHUT_WR)
        response = http.client.HTTPResponse(self.connection, method=bad.method)
        response.begin()
        body = response.read()
        code = response.getheader("X-ClickHouse-Exception-Code")
        if code is not None:
            assert body.startswith(f"Code: {code}. DB::Exception: ".encode()), body
            assert b"UNKNOWN_EXCEPTION" not in body
        return response.status, int(code) if code else None


@pytest.fixture(scope="module")
def rows(server: Server) -> Iterator[Callable[[], str]]:
    """Counts the rows of the table that every insert here is for."""
    login = {"X-ClickHouse-User": server.user, "X-ClickHouse-Key": server.password}
    with httpx.Client(base_url=server.url, headers=login, timeout=60) as client:

        def run(sql: str) -> str:
            answer = client.post("/", content=sql)
            assert answer.status_code == 200, answer.text
            return answer.text

        run(f"CREATE TABLE {TABLE} (a UInt64, b String) ENGINE = MergeTree ORDER BY a")
        yield lambda: run(f"SELECT count() FROM {TABLE}")
        run(f"DROP TABLE {TABLE} SYNC")


def check(server: Server, rows: Callable[[], str], bad: Bad) -> None:
    wire = Wire(server)
    try:
        assert wire.answer(bad) == (bad.status, bad.code)
        if bad.goes_on:
            assert wire.answer(Bad(200, None)) == (200, None)
        else:
            with pytest.raises((ConnectionError, http.client.HTTPException)):
                wire.answer(Bad(200, None))
    finally:
        wire.connection.close()
    assert rows() == "0\n"


PACK: Mapping[str, tuple[int, Callable[[bytes], bytes]]] = {
    "gzip": (354, gzip.compress),
    "deflate": (354, zlib.compress),
    "br": (448, brotli.compress),
    "zstd": (561, zstd_module().compress),
    "lz4": (618, lambda data: lz4.frame.compress(data, content_checksum=True)),
    "xz": (554, lzma.compress),
    "bz2": (594, bz2.compress),
}
DAMAGE: Mapping[str, Callable[[bytes], bytes]] = {
    "the last byte missing": lambda packed: packed[:-1],
    "half of it missing": lambda packed: packed[: len(packed) // 2],
    "all but a byte missing": lambda packed: packed[:1],
    "plain text": lambda _: ROWS,
    "plain text behind it": lambda packed: packed + ROWS,
    "nothing of it right": lambda packed: packed[::-1],
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("encoding", PACK)
def test_a_body_that_is_not_what_its_encoding_says(
    server: Server, rows: Callable[[], str], encoding: str, damage: str
) -> None:
    code, pack = PACK[encoding]
    headers = (f"Content-Encoding: {encoding}",)
    check(server, rows, Bad(500, code, DAMAGE[damage](pack(ROWS)), INSERT, headers=headers))


@pytest.mark.parametrize("encoding", ["gzip", "xz", "bz2"])
def test_a_body_with_one_wrong_bit_is_found_by_its_checksum(
    server: Server, rows: Callable[[], str], encoding: str
) -> None:
    code, pack = PACK[encoding]
    packed = bytearray(pack(ROWS))
    packed[len(packed) // 2] ^= 16
    check(server, rows, Bad(500, code, bytes(packed), INSERT, headers=(f"Content-Encoding: {encoding}",)))


def blocks(method: str) -> bytearray:
    encoder = BlockEncoder(method)
    return bytearray(encoder.feed(ROWS) + encoder.finish())


def patched(packed: bytearray, at: int, value: bytes) -> bytes:
    packed[at : at + len(value)] = value
    return bytes(packed)


#: The checksum is 16 bytes, then a byte for the method, 4 for the size packed and 4 for the size of the data.
BLOCK_DAMAGE: Mapping[str, tuple[int, Callable[[bytearray], bytes]]] = {
    "a wrong checksum": (40, lambda packed: patched(packed, 3, bytes([packed[3] ^ 1]))),
    "a wrong byte of data": (40, lambda packed: patched(packed, 30, bytes([packed[30] ^ 1]))),
    "an unknown method": (40, lambda packed: patched(packed, 16, b"\x55")),
    "a packed size of two gigabytes": (39, lambda packed: patched(packed, 17, struct.pack("<I", 0x7FFF_FFFF))),
    "a data size of two gigabytes": (39, lambda packed: patched(packed, 21, struct.pack("<I", 0x7FFF_FFFF))),
    "a size below the header's": (271, lambda packed: patched(packed, 17, struct.pack("<I", 3))),
    "its end missing": (33, lambda packed: bytes(packed[:-10])),
    "its checksum cut": (33, lambda packed: bytes(packed[:10])),
    "a second block that is cut": (33, lambda packed: bytes(packed + packed[:40])),
}


@pytest.mark.parametrize("damage", BLOCK_DAMAGE)
@pytest.mark.parametrize("method", ["lz4", "zstd", "none"])
def test_a_block_that_is_damaged(server: Server, rows: Callable[[], str], method: str, damage: str) -> None:
    code, harm = BLOCK_DAMAGE[damage]
    check(server, rows, Bad(500, code, harm(blocks(method)), INSERT + "&decompress=1"))


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


FRAMES = {
    "longer than the body": Bad(500, 33, ROWS, INSERT, length=str(len(ROWS) + 9), ends=True, goes_on=False),
    "longer than a large body": Bad(500, 33, LARGE, INSERT, length=str(9 << 20), ends=True, goes_on=False),
    "of a large body, waited for in vain": Bad(
        503, 209, LARGE, INSERT + "&http_receive_timeout=1", length=str(9 << 20), goes_on=False
    ),
    "longer than the statement": Bad(500, 33, length="9", ends=True, goes_on=False),
    "waited for in vain": Bad(503, 209, ROWS, INSERT + "&http_receive_timeout=1", length="99999", goes_on=False),
    "shorter than the body": Bad(400, None, ROWS, INSERT, length=str(len(ROWS) - 9), goes_on=False),
    "negative": Bad(400, None, ROWS, INSERT, length="-5", goes_on=False),
    "no number": Bad(400, None, ROWS, INSERT, length="five", goes_on=False),
    "not there": Bad(411, 381, b"", "/?query=SELECT+1", length=""),
    "beside chunks": Bad(400, None, chunk(ROWS), INSERT, headers=(CHUNKED, "Content-Length: 5"), goes_on=False),
    "chunks without end": Bad(500, 3, chunk(ROWS), INSERT, headers=(CHUNKED,), ends=True, goes_on=False),
    "a chunk cut": Bad(500, 3, chunk(ROWS)[:-50], INSERT, headers=(CHUNKED,), ends=True, goes_on=False),
    "a chunk of no size": Bad(400, None, b"zz\r\n" + ROWS, INSERT, headers=(CHUNKED,), goes_on=False),
    "a chunk longer than told": Bad(
        400, None, b"%x\r\n" % (len(ROWS) - 9) + ROWS + b"\r\n0\r\n\r\n", INSERT, headers=(CHUNKED,), goes_on=False
    ),
}


@pytest.mark.parametrize("case", FRAMES)
def test_a_length_that_lies(server: Server, rows: Callable[[], str], case: str) -> None:
    check(server, rows, FRAMES[case])


def basic(text: str) -> str:
    return f"Authorization: Basic {base64.b64encode(text.encode()).decode()}"


def refused(*headers: str, target: str = INSERT, code: int = 516, status: int = 403) -> Bad:
    return Bad(status, code, ROWS, target, headers=headers, login=False)


BY_HEADERS = ("X-ClickHouse-User: tester", "X-ClickHouse-Key: x")
CASES = {
    # what is asked for is not there
    "setting in the url": Bad(404, 115, ROWS, INSERT + "&nope=1"),
    "setting in the statement": Bad(404, 115, b"SELECT 1 SETTINGS nope = 1"),
    "value of a setting": Bad(400, 27, ROWS, INSERT + "&max_threads=many"),
    "name of a setting": Bad(404, 115, ROWS, INSERT + "&a%00b=1"),
    "output format": Bad(404, 73, b"SELECT 1 FORMAT Nope"),
    "default format": Bad(404, 73, b"SELECT 1", "/?default_format=Nope"),
    "input format": Bad(404, 73, b"1", f"/?query=INSERT+INTO+{TABLE}+FORMAT+Nope"),
    "format that only writes": Bad(500, 85, b"1", f"/?query=INSERT+INTO+{TABLE}+FORMAT+XML"),
    "format that only reads": Bad(500, 399, b"SELECT 1 FORMAT Regexp"),
    "encoding": Bad(501, 48, ROWS, INSERT, headers=("Content-Encoding: rot13",)),
    "database": Bad(404, 81, ROWS, INSERT + "&database=nope"),
    "table": Bad(404, 60, ROWS, "/?query=INSERT+INTO+nope+FORMAT+TSV"),
    "column": Bad(500, 16, ROWS, f"/?query=INSERT+INTO+{TABLE}+(nope)+FORMAT+TSV"),
    "role": Bad(404, 511, ROWS, INSERT + "&role=nope"),
    "session": Bad(500, 372, ROWS, INSERT + "&session_id=nope&session_check=1"),
    "session timeout": Bad(500, 374, ROWS, INSERT + "&session_id=nope&session_timeout=long"),
    "revision": Bad(400, 27, b"SELECT 1 FORMAT Native", "/?client_protocol_version=new"),
    "path": Bad(404, None, b"", "/nope", "GET"),
    "method": Bad(501, None, ROWS, INSERT, "PUT"),
    "method nobody knows": Bad(501, None, ROWS, INSERT, "BREW", goes_on=False),
    "method in small letters": Bad(501, None, ROWS, INSERT, "post", goes_on=False),
    "write by GET": Bad(500, 164, b"", f"/?query=INSERT+INTO+{TABLE}+SELECT+1,'x'", "GET"),
    "write in reading mode": Bad(500, 164, ROWS, INSERT + "&readonly=1"),
    # no statement, or more than one
    "two": Bad(400, 62, b"SELECT 1; SELECT 2"),
    "two, the first writes": Bad(400, 62, f"INSERT INTO {TABLE} SELECT 1, 'x'; SELECT 2".encode()),
    "two, the second drops": Bad(400, 62, f"SELECT 1; DROP TABLE {TABLE}".encode()),
    "two, cut by the url": Bad(400, 62, f"DROP TABLE {TABLE}".encode(), "/?query=SELECT+1;"),
    "none": Bad(400, 62, b""),
    "none by GET": Bad(400, 62, b"", "/?query=", "GET"),
    "no query by GET": Bad(400, 62, b"", "/?database=default", "GET"),
    "white space": Bad(400, 62, b" \r\n\t"),
    "a semicolon": Bad(400, 62, b";"),
    "a comment": Bad(400, 62, b"/* SELECT 1 */ -- SELECT 1"),
    # bytes that no SQL has
    "no UTF-8": Bad(400, 62, b"SELECT \xff\xfe"),
    "no UTF-8 in a name": Bad(404, 60, b"SELECT * FROM `\xff\xfe`"),
    "no UTF-8 in an error": Bad(500, 395, b"SELECT throwIf(1, '\xff\xfe')"),
    "no UTF-8 in the url": Bad(400, 62, b"", "/?query=SELECT+%ff%fe"),
    "no UTF-8 in a database": Bad(404, 81, b"SELECT 1", "/?database=%ff"),
    "NUL": Bad(400, 62, b"SELECT \0 1"),
    "NUL at the end": Bad(400, 62, b"SELECT 1\0"),
    "NUL in a name": Bad(404, 60, b"SELECT * FROM `a\0b`"),
    "NUL and a second statement": Bad(400, 62, f"SELECT 1\0; DROP TABLE {TABLE}".encode()),
    "NUL in a database": Bad(404, 81, b"SELECT 1", "/?database=a%00b"),
    "line end in a query id": Bad(200, None, b"SELECT 1", f"/?query_id={uuid.uuid4()}%0d%0aX-Evil:1"),
    "NUL in a query id": Bad(200, None, b"SELECT 1", f"/?query_id={uuid.uuid4()}%00"),
    "no hexadecimal in the url": Bad(400, 62, b"", "/?query=SELECT+%zz"),
    # rows
    "first row": Bad(400, 27, b"x\ty\n", INSERT),
    "last row": Bad(400, 27, ROWS + b"x\ty\n", INSERT),
    "first row of many": Bad(400, 27, b"x\ty\n" + LARGE, INSERT),
    "last row of many": Bad(400, 27, LARGE + b"x\ty\n", INSERT),
    "row of an order of its own": Bad(400, 27, b"(1, 'x') and more", f"/?query=INSERT+INTO+{TABLE}+VALUES"),
    "no Parquet": Bad(400, 117, ROWS, f"/?query=INSERT+INTO+{TABLE}+FORMAT+Parquet"),
    "no data": Bad(500, 108, b"", f"/?query=INSERT+INTO+{TABLE}+VALUES"),
    # who asks
    "nobody": refused(),
    "wrong password": refused(basic("tester:x")),
    "wrong name": refused(basic("eve:x")),
    "no name": refused(basic(":x")),
    "no colon": refused(basic("tester")),
    "no base64": refused("Authorization: Basic !!!"),
    "another scheme": refused("Authorization: Bearer x"),
    "a key alone": refused("X-ClickHouse-Key: x"),
    "a name alone": refused("X-ClickHouse-User: tester"),
    "in the url": refused(target=INSERT + "&user=tester&password=x"),
    "no name in the url": refused(target=INSERT + "&user=&password=x"),
    "headers and basic": refused(basic("tester:x"), *BY_HEADERS),
    "headers and url": refused(*BY_HEADERS, target=INSERT + "&user=tester&password=x"),
    "basic and url": refused(basic("tester:x"), target=INSERT + "&user=tester"),
    "two quota keys": refused(
        *BY_HEADERS, "X-ClickHouse-Quota: a", target=INSERT + "&quota_key=b", code=36, status=400
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_wrong_has_the_status_and_the_code_of_a_server(
    server: Server, rows: Callable[[], str], case: str
) -> None:
    check(server, rows, CASES[case])


def test_a_wrong_row_behind_many_good_ones_writes_none_of_them(server: Server, rows: Callable[[], str]) -> None:
    body = b"".join(b"%d\tx\n" % number for number in range(400_000)) + b"wrong\n"
    check(server, rows, Bad(400, 27, body, INSERT))
