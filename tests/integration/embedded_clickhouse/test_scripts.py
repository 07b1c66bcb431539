"""Programs that statements may run: those in a directory of the endpoint's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from .conftest import Client, Server, Start


def write_script(directory: Path, name: str, text: str) -> None:
    script = directory / name
    script.write_text(f"#!/bin/sh\n{text}\n")
    script.chmod(0o755)


@pytest.fixture(scope="module")
def scripts(server: Server) -> Iterator[Path]:
    directory = server.path / "user_scripts"
    write_script(directory, "people.sh", "printf '1\\talice\\n2\\tbob\\n'")
    write_script(directory, "arguments.sh", 'printf "%s|" "$@"; echo')
    write_script(directory, "double.sh", "sed 's/.*/&&/'")
    yield directory
    for script in directory.iterdir():
        script.unlink()


@pytest.mark.usefixtures("scripts")
async def test_a_script_of_the_directory_gives_rows(client: Client) -> None:
    sql = "SELECT name FROM executable('people.sh', 'TSV', 'id UInt8, name String') ORDER BY id"
    assert await client.text(sql) == "alice\nbob\n"


@pytest.mark.usefixtures("scripts")
async def test_a_script_gets_the_rows_of_a_query(client: Client) -> None:
    sql = "SELECT sum(n) FROM executable('double.sh', 'TSV', 'n UInt32', (SELECT 7 FROM numbers(2)))"
    assert await client.text(sql) == "154\n"


@pytest.mark.usefixtures("scripts")
async def test_arguments_reach_a_script_as_they_are_and_no_shell_reads_them(client: Client) -> None:
    sql = "SELECT * FROM executable('arguments.sh a;id $(id) `id` >x', 'LineAsString', 'line String')"
    assert await client.text(sql) == "a;id|$(id)|`id`|>x|\n"


@pytest.mark.usefixtures("scripts")
async def test_a_table_can_stand_for_a_script(client: Client, table: str) -> None:
    await client.text(f"CREATE TABLE {table} (id UInt8, name String) ENGINE = Executable('people.sh', TSV)")
    assert await client.text(f"SELECT count() FROM {table}") == "2\n"


@pytest.mark.usefixtures("scripts")
async def test_a_script_of_a_pool_answers_one_query_after_another(client: Client, table: str, scripts: Path) -> None:
    """It is told how many rows come, and tells how many it gives."""
    answer = 'while read n; do echo $n; while [ $n -gt 0 ]; do read row; echo "p$row"; n=$((n-1)); done; done'
    write_script(scripts, "pool.sh", answer)
    sql = f"CREATE TABLE {table} (a String) ENGINE = ExecutablePool('pool.sh', TSV, (SELECT number FROM numbers(3)))"
    await client.text(f"{sql} SETTINGS send_chunk_header = 1, pool_size = 1")
    for _ in range(3):
        assert await client.text(f"SELECT groupArray(a) FROM {table}") == "['p0','p1','p2']\n"


async def test_programs_elsewhere_are_not_found_by_their_name(client: Client, scripts: Path) -> None:
    reply = await client.send("SELECT * FROM executable('id', 'TSV', 'a String')")
    assert reply.headers["X-ClickHouse-Exception-Code"] == "1"
    assert str(scripts) in reply.text
    assert scripts.stat().st_mode & 0o777 == 0o700


async def test_the_configuration_defines_functions_that_run_scripts(start: Start, tmp_path: Path) -> None:
    (tmp_path / "shout_function.xml").write_text(
        "<functions><function><type>executable</type><name>shout</name><return_type>String</return_type>"
        "<argument><type>String</type></argument><format>TabSeparated</format><command>shout.sh</command>"
        "</function></functions>"
    )
    server = start("--config-dir", str(tmp_path))
    write_script(server.path / "user_scripts", "shout.sh", "exec tr a-z A-Z")
    async with aiohttp.ClientSession() as session:
        assert await Client(server, session).text("SELECT shout('hello')") == "HELLO\n"
