"""What must not run on the embedded engine, and what looks like it but may."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from test_framework.embedded_clickhouse.guard import file_accesses, forbidden, mentions_table

HOST_FILES = [
    "SELECT * FROM file('/etc/passwd', 'LineAsString')",
    "SELECT * FROM file('/etc/{passwd,group}')",
    "SELECT * FROM FILE('/etc/passwd')",
    "SELECT * FROM `file`('/etc/passwd')",
    "SELECT * FROM file($$/etc/passwd$$)",
    "SELECT * FROM file(concat('/etc', '/passwd'))",
    "SELECT * FROM file('/srv' || '/../etc/passwd')",
    "SELECT * FROM file('../x')",
    "SELECT * FROM file('/srv/files/../../etc/passwd')",
    "SELECT * FROM file('/srv/files/{.}{.}/{.}{.}/etc/passwd')",
    "SELECT * FROM file('/srv/filesystem')",
    "SELECT file('/etc/passwd')",
    "SELECT 1 WHERE (SELECT file('/etc/passwd')) = ''",
    "SELECT * FROM file /* c */ ( -- d\n '/etc/passwd' )",
    "DESCRIBE TABLE file('/etc/passwd')",
    "INSERT INTO FUNCTION file('/etc/cron.d/x', 'CSV') VALUES",
    "INSERT INTO TABLE FUNCTION file('/etc/cron.d/x', 'CSV') VALUES",
    "CREATE TABLE x AS file('/etc/passwd', 'LineAsString')",
    "CREATE TABLE x (a String) ENGINE = File(CSV, '/etc/passwd')",
    "CREATE TABLE x (a String) ENGINE File(CSV, '/etc/passwd')",
    "CREATE DATABASE x ENGINE = Filesystem('/etc')",
    "CREATE DATABASE x ENGINE = SQLite('/var/x.db')",
    "SELECT * FROM fileCluster('c', '/etc/passwd')",
    "SELECT * FROM sqlite('/var/x.db', 't')",
    "SELECT * FROM filesystem('/etc')",
    "SELECT * FROM url('file:///etc/passwd')",
    "SELECT * FROM icebergLocal('/etc')",
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM `/etc/passwd`",
    'SELECT * FROM a JOIN "/etc/passwd" ON 1',
    "SELECT * FROM a, `/etc/passwd`",
    "INSERT INTO `/etc/passwd` SELECT 1",
]
OTHER = [
    ("SYSTEM SHUTDOWN", 497),
    ("system /* x */ kill", 497),
    ("SELECT 1 INTO OUTFILE 'x'", 358),
    ("SELECT 1 into\noutfile 'x' FORMAT CSV", 358),
    ("INSERT INTO t FROM INFILE 'x' FORMAT CSV", 78),
    ("SELECT * FROM executable('/x.sh', 'TSV', 'a String')", 1),
    ("SELECT * FROM executable('../x.sh', 'TSV', 'a String')", 1),
    ("SELECT * FROM executable('a/x.sh', 'TSV', 'a String')", 1),
    ("SELECT * FROM executable('.x.sh', 'TSV', 'a String')", 1),
    ("SELECT * FROM executable('x;id', 'TSV', 'a String')", 1),
    ("SELECT * FROM executable('$(id)', 'TSV', 'a String')", 1),
    ("SELECT * FROM executable(' x.sh', 'TSV', 'a String')", 1),
    ("SELECT * FROM executable('x\0y', 'TSV', 'a String')", 1),
    ("SELECT * FROM `executable`('/x.sh', 'TSV', 'a String')", 1),
    ("SELECT * FROM executable(concat('x', '.sh'), 'TSV', 'a String')", 497),
    ("SELECT * FROM executable('x' || '/y', 'TSV', 'a String')", 497),
    ("SELECT * FROM executable({p:String}, 'TSV', 'a String')", 497),
    ("CREATE TABLE x (a String) ENGINE = Executable('../x.sh', 'TSV')", 1),
    ("CREATE TABLE x (a String) ENGINE ExecutablePool('/x.sh', 'TSV')", 1),
    ("CREATE DICTIONARY d (a UInt8) PRIMARY KEY a SOURCE(EXECUTABLE(COMMAND 'x' FORMAT TSV)) LAYOUT(FLAT())", 482),
    ("CREATE DICTIONARY d (a UInt8) PRIMARY KEY a SOURCE(EXECUTABLE_POOL(COMMAND 'x' FORMAT TSV)) LAYOUT(FLAT())", 482),
    ("SELECT * FROM python(x)", 497),
    ("SELECT * FROM odbc('DSN=x', 'y')", 497),
]
HARMLESS = [
    "SELECT 'SYSTEM SHUTDOWN'",
    "SELECT 1 -- INTO OUTFILE 'x'",
    "SELECT $$INTO OUTFILE$$",
    "SYSTEM FLUSH LOGS",
    "KILL QUERY WHERE query_id = 'x'",
    "CREATE TABLE file (a String) ENGINE = Memory",
    "CREATE TABLE IF NOT EXISTS url (file String, url String) ENGINE = Memory",
    "INSERT INTO file (a, b) VALUES",
    "INSERT INTO TABLE url (a, b) VALUES",
    "SELECT file, url FROM t WHERE file IN ('/etc/passwd', '/usr')",
    "SELECT x.file('a') FROM x",
    "SELECT * FROM file('data.csv')",
    "SELECT * FROM file('/srv/files/data*.csv', 'CSV')",
    "SELECT * FROM file('/srv/files/{a,b}/x.csv')",
    "SELECT * FROM url('http://127.0.0.1:1/x', 'CSV')",
    "SELECT * FROM url(collection)",
    "CREATE TABLE x (a String) ENGINE = File(CSV)",
    "SELECT * FROM s3('http://127.0.0.1:1/bucket/x', 'CSV')",
    "SELECT * FROM remote('127.0.0.1', system.one)",
    "SELECT * FROM `a b`.`c d`",
    "SELECT path('/etc/passwd')",
    "SELECT * FROM executable('x-1_y.sh', 'TSV', 'a String')",
    "SELECT * FROM executable('x.sh first /second', 'TSV', 'a String', (SELECT 1))",
    "CREATE TABLE x (a String) ENGINE = Executable('x.sh', 'TSV')",
    "SELECT concat('/etc', '/passwd')",
]


@pytest.mark.parametrize("sql", HOST_FILES)
def test_files_outside_the_directory_are_refused(sql: str) -> None:
    refusal = forbidden(sql.encode(), files=Path("/srv/files"))
    assert refusal is not None
    assert refusal.code in (291, 497)


@pytest.mark.parametrize(("sql", "code"), OTHER)
def test_the_end_of_the_process_and_other_programs_are_refused(sql: str, code: int) -> None:
    refusal = forbidden(sql.encode(), files=Path("/srv/files"))
    assert refusal is not None
    assert refusal.code == code


@pytest.mark.parametrize("sql", HARMLESS)
def test_names_strings_and_comments_that_look_alike_are_not(sql: str) -> None:
    assert forbidden(sql.encode(), files=Path("/srv/files")) is None


def test_without_a_directory_no_file_is_allowed() -> None:
    assert forbidden(b"SELECT * FROM file('data.csv')") is not None


def test_a_link_out_of_the_directory_is_followed(tmp_path: Path) -> None:
    files = tmp_path / "files"
    files.mkdir()
    (files / "link").symlink_to("/etc")
    assert forbidden(b"SELECT * FROM file('link/passwd')", files=files) is not None
    assert forbidden(b"SELECT * FROM file('passwd')", files=files) is None


def test_the_paths_that_a_statement_names_are_listed() -> None:
    sql = b"SELECT * FROM file('a.csv') JOIN url('http://x/y') ON file(b) = ''"
    assert [(found.function, found.path) for found in file_accesses(sql)] == [
        ("file", "a.csv"),
        ("url", "http://x/y"),
        ("file", None),
    ]


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        ("SELECT * FROM system.query_log", True),
        ('SELECT * FROM "system" . `query_log`', True),
        ("SELECT count() FROM system.query_log AS system", True),
        ("SELECT 'system.query_log'", False),
        ("SELECT 1 -- system.query_log", False),
        ("SELECT * FROM system.query_log_archive", False),
        ("SELECT * FROM query_log", False),
    ],
)
def test_a_table_is_mentioned_by_tokens(sql: str, found: bool) -> None:
    assert mentions_table(sql.encode(), "system", "query_log") is found


@settings(max_examples=1000, deadline=None)
@given(
    parts=st.lists(
        st.sampled_from([b"file", b"(", b")", b"'/etc'", b",", b"ENGINE", b"=", b".", b"url", b"FROM", b"'", b" "])
    )
)
def test_nothing_is_raised_for_any_row_of_tokens(parts: list[bytes]) -> None:
    forbidden(b" ".join(parts), files=Path("/srv/files"))


def test_deep_nesting_costs_no_more_than_its_length() -> None:
    assert forbidden(b"SELECT " + b"file(" * 20_000, files=Path("/srv/files")) is not None
