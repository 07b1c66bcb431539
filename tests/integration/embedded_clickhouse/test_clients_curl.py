"""Plain curl, and the ``compress=1``/``decompress=1`` bodies of JDBC-like clients, against the embedded endpoint."""

from __future__ import annotations

import gzip
import json
import subprocess
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import brotli
import lz4.frame
import pytest

from test_framework.embedded_clickhouse.encodings import zstd_module
from test_framework.embedded_clickhouse.framing import BlockDecoder, BlockEncoder
from tests.integration.embedded_clickhouse.conftest import Server


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes
    headers: dict[str, str]

    @property
    def text(self) -> str:
        return self.body.decode()


Curl = Callable[..., Answer]


@pytest.fixture
def curl(server: Server, tmp_path: Path) -> Curl:
    """Runs curl with the given arguments; ``url`` is what stands behind the address."""

    def run(*arguments: str, url: str = "/", stdin: bytes = b"") -> Answer:
        head = tmp_path / "head"
        # The credentials go in by a file, as arguments can be seen by others.
        login = tmp_path / "login"
        login.write_text(f'user = "{server.user}:{server.password}"\n')
        command = ["curl", "-sS", "--max-time", "60", "-K", str(login), "-D", str(head), *arguments, server.url + url]
        done = subprocess.run(command, input=stdin, capture_output=True, check=True)
        last = head.read_bytes().strip().split(b"\r\n\r\n")[-1].decode().split("\r\n")
        fields = dict(line.split(": ", 1) for line in last[1:] if ": " in line)
        return Answer(int(last[0].split()[1]), done.stdout, {key.lower(): value for key, value in fields.items()})

    return run


@pytest.fixture
def table(curl: Curl) -> Iterator[str]:
    name = f"curl_{uuid.uuid4().hex[:12]}"
    assert curl("-d", f"CREATE TABLE {name} (n UInt64, s String) ENGINE = MergeTree ORDER BY n").status == 200
    yield name
    curl("-d", f"DROP TABLE {name} SYNC")


@pytest.mark.parametrize(
    "arguments",
    [
        ("-d", "SELECT 1"),
        ("--data-binary", "SELECT 1\n"),
        ("-d", "SELECT 1;"),
        ("-G", "--data-urlencode", "query=SELECT 1"),
        ("-X", "POST", "-G", "--data-urlencode", "query=SELECT 1", "-H", "Content-Length: 0"),
        ("-F", "query=SELECT 1"),
        ("-H", "Transfer-Encoding: chunked", "-d", "SELECT 1"),
        ("--http1.0", "-d", "SELECT 1"),
        ("-H", "Connection: close", "-d", "SELECT 1"),
        ("-H", "Expect: 100-continue", "-d", "SELECT 1"),
    ],
    ids=lambda arguments: " ".join(arguments)[:40],
)
def test_a_statement_arrives_in_every_way_of_sending_it(curl: Curl, arguments: tuple[str, ...]) -> None:
    answer = curl(*arguments)
    assert (answer.status, answer.text) == (200, "1\n")


def test_the_statement_may_be_split_between_the_url_and_the_body(curl: Curl) -> None:
    assert curl("-d", "1", url="/?query=SELECT").text == "1\n"
    assert curl("--data-binary", "@-", url="/?query=SELECT%20*%20FROM", stdin=b"system.one").text == "0\n"


def test_get_reads_and_does_not_write(curl: Curl) -> None:
    answer = curl("-G", "--data-urlencode", f"query=CREATE TABLE x{uuid.uuid4().hex} (a Int8) ENGINE = Memory")
    assert answer.status >= 400
    assert answer.headers["x-clickhouse-exception-code"] == "164"
    head = curl("-I", url="/?query=SELECT%201")
    assert (head.status, head.body[:5]) == (200, b"HTTP/")


@pytest.mark.parametrize("name", ["TSV", "CSVWithNames", "JSONEachRow", "JSONCompact", "RowBinary", "Values"])
def test_the_format_comes_from_the_clause_the_url_or_a_header(curl: Curl, name: str) -> None:
    expected = curl("-d", f"SELECT 1 AS a, 'x' AS b FORMAT {name} SETTINGS output_format_write_statistics=0").body
    query = "SELECT 1 AS a, 'x' AS b SETTINGS output_format_write_statistics=0"
    assert curl("-d", query, url=f"/?default_format={name}").body == expected
    assert curl("-d", query, "-H", f"X-ClickHouse-Format: {name}").body == expected
    assert curl("-d", f"{query} FORMAT {name}", url="/?default_format=XML").body == expected


def test_parameters_come_escaped_in_the_url(curl: Curl) -> None:
    url = "/?param_a=5&param_s=it%27s%20%5Ct&param_l=%5B%27x%27%2C%27y%5C%27z%27%5D&param_n=%5CN"
    sql = "SELECT {a:UInt8}, {s:String}, {l:Array(String)}, {n:Nullable(Int8)} FORMAT JSONCompactEachRow"
    assert json.loads(curl("-d", sql, url=url).body) == [5, "it's \t", ["x", "y'z"], None]


def test_a_missing_parameter_is_named(curl: Curl) -> None:
    answer = curl("-d", "SELECT {a:UInt8}")
    assert answer.headers["x-clickhouse-exception-code"] == "456"
    assert "`a`" in answer.text


@pytest.mark.parametrize(
    ("insert", "data"),
    [
        ("INSERT INTO {} FORMAT CSV", b'1,"a"\n2,"b;"\n'),
        ("INSERT INTO {} (n, s) VALUES", b"(1, 'a'), (2, 'b;')"),
        ("INSERT INTO {} SETTINGS async_insert=0 FORMAT JSONEachRow", b'{"n":1,"s":"a"}\n\n\n{"n":2,"s":"b;"}'),
        ("INSERT INTO {} SELECT n, s FROM input('n UInt64, s String') FORMAT TSV", b"1\ta\n2\tb;\n"),
        ("/* c */ INSERT INTO TABLE {} FORMAT RowBinary", b"\1\0\0\0\0\0\0\0\1a\2\0\0\0\0\0\0\0\2b;"),
    ],
)
@pytest.mark.parametrize("where", ["url", "body", "chunked"])
def test_data_is_inserted_from_the_body(curl: Curl, table: str, insert: str, data: bytes, where: str) -> None:
    statement = insert.format(table)
    chunked = ("-H", "Transfer-Encoding: chunked") if where == "chunked" else ()
    if where == "body":
        gap = b"" if statement.endswith("\n") else b"\n"
        answer = curl("--data-binary", "@-", stdin=statement.encode() + gap + data)
    else:
        from urllib.parse import quote

        answer = curl("--data-binary", "@-", *chunked, url=f"/?query={quote(statement)}", stdin=data)
    assert answer.status == 200, answer.text
    assert json.loads(answer.headers["x-clickhouse-summary"])["written_rows"] == "2"
    assert curl("-d", f"SELECT * FROM {table} ORDER BY n").text == "1\ta\n2\tb;\n"


COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "br": brotli.compress,
    "zstd": zstd_module().compress,
    "lz4": lambda data: lz4.frame.compress(data[:7]) + lz4.frame.compress(data[7:]),
}


@pytest.mark.parametrize("name", COMPRESS)
def test_a_compressed_body_may_hold_statement_and_data(curl: Curl, table: str, name: str) -> None:
    body = COMPRESS[name](f"INSERT INTO {table} FORMAT TSV\n1\ta\n2\tb\n".encode())
    answer = curl("--data-binary", "@-", "-H", f"Content-Encoding: {name}", stdin=body)
    assert answer.status == 200, answer.text
    assert curl("-d", f"SELECT count() FROM {table}").text == "2\n"


def test_curls_own_decompression_reads_the_answer(curl: Curl) -> None:
    answer = curl("--compressed", "-d", "SELECT number FROM numbers(100000)", url="/?enable_http_compression=1")
    assert answer.body == b"".join(b"%d\n" % number for number in range(100_000))
    assert answer.headers["content-encoding"] in ("gzip", "br", "zstd", "deflate")


def test_files_become_tables_of_the_query(curl: Curl, tmp_path: Path) -> None:
    (tmp_path / "people.tsv").write_text("1\talice\n2\tbob\n")
    (tmp_path / "ages.csv").write_text("1,30\n2,40\n")
    answer = curl(
        *("-F", f"people=@{tmp_path}/people.tsv", "-F", f"ages=@{tmp_path}/ages.csv"),
        url="/?query=SELECT+name,age+FROM+people+JOIN+ages+USING+id+ORDER+BY+id"
        "&people_structure=id+UInt8,name+String&ages_format=CSV&ages_structure=id+UInt8,age+UInt8",
    )
    assert (answer.status, answer.text) == (200, "alice\t30\nbob\t40\n")
    form = ("-F", "query=SELECT {p:String}, count() FROM data", "-F", "param_p=x y", "-F", "data=@-")
    answer = curl(*form, url="/?data_types=UInt8", stdin=b"1\n2\n")
    assert (answer.status, answer.text) == (200, "x y\t2\n")


def test_a_session_lasts_over_requests(curl: Curl) -> None:
    session = f"/?session_id={uuid.uuid4().hex}"
    assert curl("-d", "SET max_threads = 3", url=session).status == 200
    assert curl("-d", "CREATE TEMPORARY TABLE kept (a Int8)", url=session).status == 200
    assert curl("--data-binary", "@-", url=f"{session}&query=INSERT+INTO+kept+VALUES", stdin=b"(5)").status == 200
    assert curl("-d", "SELECT a, getSetting('max_threads') FROM kept", url=session).text == "5\t3\n"
    assert curl("-d", "SELECT a FROM kept").headers["x-clickhouse-exception-code"] == "60"
    assert (
        curl("-d", "SELECT 1", url="/?session_check=1&session_id=none").headers["x-clickhouse-exception-code"] == "372"
    )


def test_credentials_can_stand_in_headers_or_in_the_url(server: Server) -> None:
    from urllib.parse import quote

    ways = [
        ["-H", f"X-ClickHouse-User: {server.user}", "-H", f"X-ClickHouse-Key: {server.password}", server.url],
        [f"{server.url}/?user={server.user}&password={quote(server.password)}"],
    ]
    for way in ways:
        done = subprocess.run(["curl", "-sS", "-d", "SELECT 42", *way], capture_output=True, check=True)
        assert done.stdout == b"42\n"
    done = subprocess.run(
        ["curl", "-sS", "-d", "SELECT 1", server.url + "/?user=nobody"], capture_output=True, check=True
    )
    assert b"AUTHENTICATION_FAILED" in done.stdout


# What JDBC-like clients send: the answer in ClickHouse's blocks with compress=1, the request with decompress=1.


def decoded(body: bytes) -> bytes:
    decoder = BlockDecoder()
    pieces = list(decoder.feed(body))
    decoder.finish()
    return b"".join(pieces)


def encoded(data: bytes, method: str = "lz4") -> bytes:
    encoder = BlockEncoder(method)
    return encoder.feed(data) + encoder.finish()


@pytest.mark.parametrize("name", ["RowBinaryWithNamesAndTypes", "TabSeparatedWithNamesAndTypes", "Native"])
def test_compress_puts_the_answer_in_blocks(curl: Curl, name: str) -> None:
    sql = f"SELECT number, toString(number) AS s FROM numbers(300000) FORMAT {name}"
    assert decoded(curl("-d", sql, url="/?compress=1").body) == curl("-d", sql).body


@pytest.mark.parametrize("method", ["lz4", "zstd", "none"])
@pytest.mark.parametrize("where", ["url", "body"])
def test_decompress_takes_the_body_out_of_its_blocks(curl: Curl, table: str, method: str, where: str) -> None:
    data = b"".join(b"%d\trow %d\n" % (number, number) for number in range(120_000))
    statement = f"INSERT INTO {table} FORMAT TSV"
    body = encoded(data if where == "url" else statement.encode() + b"\n" + data, method)
    query = f"&query={statement.replace(' ', '+')}" if where == "url" else ""
    answer = curl("--data-binary", "@-", url=f"/?decompress=1{query}", stdin=body)
    assert answer.status == 200, answer.text
    assert curl("-d", f"SELECT count(), max(n) FROM {table}").text == "120000\t119999\n"


def test_both_at_once(curl: Curl) -> None:
    answer = curl("--data-binary", "@-", url="/?compress=1&decompress=1", stdin=encoded(b"SELECT 42"))
    assert decoded(answer.body) == b"42\n"


@pytest.mark.parametrize("damage", ["checksum", "cut", "size"])
def test_damaged_blocks_insert_nothing_and_are_told(curl: Curl, table: str, damage: str) -> None:
    body = bytearray(encoded(b"".join(b"%d\tx\n" % number for number in range(2_000_000))))
    if damage == "checksum":
        body[len(body) // 2] ^= 1
    elif damage == "cut":
        del body[-100:]
    else:
        body[17:21] = b"\xff\xff\xff\x7f"
    answer = curl("--data-binary", "@-", url=f"/?decompress=1&query=INSERT+INTO+{table}+FORMAT+TSV", stdin=bytes(body))
    assert answer.status >= 400
    assert answer.headers["x-clickhouse-exception-code"] in {"40", "33", "39", "271"}
    assert curl("-d", "SELECT 1").text == "1\n"
