"""What a statement must not reach: files, programs, the process itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import Client


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file outside the endpoint's directories."""
    path = tmp_path / "secret.txt"
    path.write_text("the secret\n")
    return path


READERS = [
    "SELECT * FROM file('{path}', 'LineAsString')",
    "SELECT * FROM FILE('{path}', 'LineAsString')",
    "SELECT * FROM `file`('{path}', 'LineAsString')",
    "SELECT * FROM file(concat('{path}', ''), 'LineAsString')",
    "SELECT * FROM file('../../../../../../../../../../{path}', 'LineAsString')",
    "SELECT * FROM file(\n/* ) */ '{path}', 'LineAsString')",
    "SELECT * FROM file('{path} :: x', 'LineAsString')",
    "SELECT * FROM file({{p:String}}, 'LineAsString')",
    "SELECT file('{path}')",
    "SELECT arrayMap(x -> file(x), ['{path}'])",
    "CREATE FUNCTION readit AS (x) -> file(x)",
    "SELECT * FROM fileCluster('default', '{path}', 'LineAsString')",
    "SELECT * FROM url('file://{path}', 'LineAsString')",
    "SELECT * FROM url(concat('file', '://{path}'), 'LineAsString')",
    "SELECT * FROM filesystem('{directory}')",
    "SELECT * FROM `{path}`",
    "SELECT * FROM default.`{path}`",
    "SELECT * FROM '{path}'",
    "SELECT * FROM icebergLocal('{directory}')",
    "SELECT * FROM deltaLakeLocal('{directory}')",
    "SELECT * FROM sqlite('{path}', 't')",
    "CREATE TABLE t_file (s String) ENGINE = File(LineAsString, '{path}')",
    "CREATE TABLE t_file (s String) ENGINE File(LineAsString, '{path}')",
    "CREATE TABLE t_file (s String) ENGINE = URL('file://{path}', LineAsString)",
    "CREATE DATABASE d_file ENGINE = Filesystem('{directory}')",
    "CREATE DATABASE d_file ENGINE = SQLite('{path}')",
    "CREATE NAMED COLLECTION nc AS path = '{path}'; SELECT 1",
    "SELECT 1 SETTINGS format_template_row = '{path}' FORMAT Template",
    "ATTACH TABLE t_file FROM '{directory}' (s String) ENGINE = File(LineAsString)",
    "INSERT INTO FUNCTION null('s String') FROM INFILE '{path}' FORMAT LineAsString",
    "RESTORE ALL FROM File('{path}')",
]


@pytest.mark.parametrize("sql", READERS)
async def test_a_file_of_the_host_cannot_be_read(client: Client, secret: Path, sql: str) -> None:
    reply = await client.send(sql.format(path=secret, directory=secret.parent), param_p=str(secret))
    assert reply.status >= 400, reply.body
    assert b"the secret" not in reply.body
    assert reply.headers["X-ClickHouse-Exception-Code"] not in ("1001", "1002")


WRITERS = [
    "SELECT 1 INTO OUTFILE '{path}'",
    "SELECT 1 INTO OUTFILE '{path}' TRUNCATE FORMAT CSV",
    "INSERT INTO FUNCTION file('{path}', 'CSV', 'a UInt8') SELECT 1",
    "INSERT INTO FUNCTION file('{path}', 'CSV', 'a UInt8') VALUES (1)",
    "INSERT INTO FUNCTION url('file://{path}', 'CSV', 'a UInt8') VALUES (1)",
    "BACKUP TABLE system.one TO File('{path}')",
    "SELECT 1 SETTINGS output_format_schema = '{path}' FORMAT Protobuf",
    "CREATE TABLE t_disk (a Int8) ENGINE = MergeTree ORDER BY a SETTINGS disk = disk(type = local, path = '{path}/')",
]


@pytest.mark.parametrize("sql", WRITERS)
async def test_a_file_of_the_host_cannot_be_written(client: Client, tmp_path: Path, sql: str) -> None:
    path = tmp_path / "written"
    reply = await client.send(sql.format(path=path))
    assert reply.status >= 400, reply.body
    assert not path.exists()


@pytest.mark.parametrize(
    "setting", ["output_format_schema", "input_format_record_errors_file_path", "rename_files_after_processing"]
)
async def test_settings_that_name_files_cannot_be_changed(client: Client, setting: str, tmp_path: Path) -> None:
    reply = await client.send("SELECT 1", **{setting: str(tmp_path / "x")})
    assert reply.headers["X-ClickHouse-Exception-Code"] == "452"


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM executable('id', 'TSV', 'a String')",
        "SELECT * FROM executable('/usr/bin/id', 'TSV', 'a String')",
        "SELECT * FROM executable('../../../usr/bin/id', 'TSV', 'a String')",
        "CREATE TABLE t_x (a String) ENGINE = Executable('/usr/bin/id', TSV)",
        "CREATE TABLE t_x (a String) ENGINE = ExecutablePool('../../usr/bin/id', TSV)",
        "CREATE DICTIONARY t_d (a UInt64) PRIMARY KEY a SOURCE(EXECUTABLE(command 'id' format 'TSV')) LAYOUT(FLAT())",
        "SELECT * FROM python(os)",
    ],
)
async def test_a_program_of_the_host_cannot_be_run(client: Client, sql: str) -> None:
    reply = await client.send(sql)
    assert reply.status >= 400
    assert b"uid=" not in reply.body


@pytest.mark.parametrize("sql", ["SYSTEM SHUTDOWN", "SYSTEM KILL", "system /* */ shutdown", "SYSTEM\nKILL;"])
async def test_a_statement_cannot_end_the_process(client: Client, sql: str) -> None:
    assert (await client.send(sql)).status == 403
    assert await client.text("SELECT 1") == "1\n"
    assert client.server.process.poll() is None


@pytest.mark.parametrize("sql", ["exit", "quit", "\\q", "1", "1 + 1"])
async def test_leniencies_of_the_command_line_client_are_syntax_errors(client: Client, sql: str) -> None:
    reply = await client.send(sql)
    assert (reply.status, reply.headers["X-ClickHouse-Exception-Code"]) == (400, "62")


async def test_files_of_the_endpoints_own_directory_can_be_used(client: Client) -> None:
    name = "mine.csv"
    await client.text(f"INSERT INTO FUNCTION file('{name}', 'CSV', 'a UInt8') SELECT 7")
    assert await client.text(f"SELECT * FROM file('{name}', 'CSV', 'a UInt8')") == "7\n"
    inside = client.server.path / "user_files" / name
    assert inside.read_text() == "7\n"
    assert await client.text(f"SELECT * FROM file('{inside}', 'CSV', 'a UInt8')") == "7\n"
    await client.text("CREATE OR REPLACE TABLE own_file (a UInt8) ENGINE = File(CSV)")
    await client.text("INSERT INTO own_file VALUES (9)")
    assert await client.text("SELECT * FROM own_file") == "9\n"
    await client.text("DROP TABLE own_file SYNC")


async def test_a_link_out_of_the_directory_is_not_followed(client: Client, secret: Path) -> None:
    (client.server.path / "user_files" / "link").symlink_to(secret)
    reply = await client.send("SELECT * FROM file('link', 'LineAsString')")
    assert reply.status >= 400
    assert b"the secret" not in reply.body


@pytest.mark.parametrize("sql", ["CREATE USER u", "CREATE ROLE r", "GRANT SELECT ON *.* TO default", "CREATE QUOTA q"])
async def test_accounts_cannot_be_changed_by_statements(client: Client, sql: str) -> None:
    assert (await client.send(sql)).status >= 400


async def test_secrets_are_not_in_the_process_arguments_or_the_log(client: Client) -> None:
    arguments = Path(f"/proc/{client.server.process.pid}/cmdline")
    if arguments.exists():
        assert client.server.password.encode() not in arguments.read_bytes()
    log = client.server.path.parent / f"{client.server.path.name}.log"
    assert client.server.password not in log.read_text()


@pytest.mark.parametrize("setting", ["format_template_row", "format_template_resultset", "format_schema"])
async def test_schemas_and_templates_outside_the_directory_are_refused(
    client: Client, setting: str, secret: Path
) -> None:
    for value in (str(secret), f"../../../../../../../..{secret}"):
        reply = await client.send("SELECT 1 AS a FORMAT Template", **{setting: value})
        assert reply.headers["X-ClickHouse-Exception-Code"] == "481"
        reply = await client.send(f"SELECT 1 AS a SETTINGS `{setting}` = '{value}' FORMAT Template")
        assert reply.headers["X-ClickHouse-Exception-Code"] == "481"


async def test_a_template_inside_the_directory_is_used(client: Client) -> None:
    (client.server.path / "user_files" / "rows.template").write_text("<${a:CSV}>")
    reply = await client.send("SELECT 1 AS a FORMAT Template", format_template_row="rows.template")
    assert reply.body.strip() == b"<1>"
