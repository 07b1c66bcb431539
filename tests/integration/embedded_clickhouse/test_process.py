"""The program: start, stop, restart, and what it leaves behind."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from .conftest import PASSWORD, USER, Server, Start


def ask(server: Server, sql: str, **headers: str) -> str:
    request = urllib.request.Request(server.url, data=sql.encode())
    for name, value in {"X-ClickHouse-User": USER, "X-ClickHouse-Key": PASSWORD, **headers}.items():
        request.add_header(name.replace("_", "-"), value)
    with urllib.request.urlopen(request) as response:
        return response.read().decode()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_with_0_on_a_signal_even_while_a_query_runs(start: Start, number: int) -> None:
    server = start()
    request = urllib.request.Request(server.url, data=b"SELECT number FROM system.numbers")
    request.add_header("X-ClickHouse-User", USER)
    request.add_header("X-ClickHouse-Key", PASSWORD)
    with urllib.request.urlopen(request) as response:
        assert response.status == 200
        assert server.stop(number) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_acknowledged_data_is_there_after_a_restart(start: Start, number: int, tmp_path: Path) -> None:
    path = tmp_path / "kept"
    server = start(path=path)
    ask(server, "CREATE DATABASE kept")
    ask(server, "CREATE TABLE kept.t (a UInt64) ENGINE = MergeTree ORDER BY a")
    ask(server, "CREATE TABLE default.d (a UInt64) ENGINE = MergeTree ORDER BY a")
    for value in range(20):
        ask(server, f"INSERT INTO kept.t VALUES ({value})")
    ask(server, "INSERT INTO default.d VALUES (1)")
    server.stop(number)
    server = start(path=path)
    assert ask(server, "SELECT count(), sum(a) FROM kept.t") == "20\t190\n"
    assert ask(server, "SELECT a FROM default.d") == "1\n"
    assert ask(server, "SELECT engine FROM system.databases WHERE name = 'default'") == "Atomic\n"


def test_the_database_of_the_environment_is_created(start: Start) -> None:
    server = start(environ={"CLICKHOUSE_DB": "odd `name`"})
    assert "odd `name`\n" in ask(server, "SELECT name FROM system.databases FORMAT TSVRaw")


def test_profiles_and_server_settings_come_from_clickhouse_files(start: Start, tmp_path: Path) -> None:
    for part in ("config.d", "users.d"):
        (tmp_path / part).mkdir()
    (tmp_path / "config.d" / "a.xml").write_text("<clickhouse><mark_cache_size>12345678</mark_cache_size></clickhouse>")
    (tmp_path / "users.d" / "a.xml").write_text(
        "<clickhouse><profiles><default><max_block_size>777</max_block_size></default></profiles></clickhouse>"
    )
    more = tmp_path / "more.xml"
    more.write_text("<clickhouse><profiles><default><max_threads>1</max_threads></default></profiles></clickhouse>")
    server = start("--config-dir", str(tmp_path), "--users-file", str(more))
    settings = ask(server, "SELECT getSetting('max_block_size'), getSetting('max_threads')")
    assert settings == "777\t1\n"
    assert ask(server, "SELECT value FROM system.server_settings WHERE name = 'mark_cache_size'") == "12345678\n"


def test_the_shipped_configuration_of_the_image_is_read(start: Start) -> None:
    shipped = Path(__file__).parents[3] / "images" / "clickhouse"
    server = start("--config-dir", str(shipped))
    assert ask(server, "SELECT getSetting('max_block_size')") == "8192\n"
    ask(server, "CREATE TABLE t (k UInt8, a UInt64) ENGINE = MergeTree ORDER BY k")
    ask(server, "INSERT INTO t VALUES (1, 1)")
    ask(server, "ALTER TABLE t UPDATE a = a WHERE 1 SETTINGS mutations_sync = 2")
    ask(server, "ALTER TABLE t DELETE WHERE a = 1")
    assert ask(server, "SELECT count() FROM t") == "0\n"


def test_accounts_of_the_json_file_can_log_in(start: Start, tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"users": {"second": "its password"}}))
    server = start("--config", str(config))
    answer = ask(server, "SELECT 1", X_ClickHouse_User="second", X_ClickHouse_Key="its password")
    assert answer == "1\n"
    with pytest.raises(urllib.error.HTTPError, match="403"):
        ask(server, "SELECT 1", X_ClickHouse_User="second", X_ClickHouse_Key=PASSWORD)


def test_it_listens_on_loopback_alone_by_default(server: Server) -> None:
    import psutil

    listening = [c.laddr for c in psutil.Process(server.process.pid).net_connections() if c.status == "LISTEN"]
    assert {address.ip for address in listening} == {"127.0.0.1"}
    assert {address.port for address in listening} == {server.port}


def test_the_native_port_tells_http_clients_where_to_go(start: Start) -> None:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        native = probe.getsockname()[1]
    server = start("--native-port", str(native))
    with socket.create_connection(("127.0.0.1", native)) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
        answer = connection.makefile("rb").read()
    assert f"You must use port {server.port} for HTTP".encode() in answer


def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    import os

    return subprocess.run(
        [sys.executable, "-m", "test_framework.embedded_clickhouse", *arguments],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_help_names_the_options_and_the_environment() -> None:
    result = run("--help")
    assert result.returncode == 0
    assert "--port-file" in result.stdout
    assert "CLICKHOUSE_PASSWORD" in result.stdout


def test_a_directory_in_use_is_refused_with_a_reason(server: Server) -> None:
    result = run("--path", str(server.path), "--port", "0")
    assert result.returncode == 4
    assert "one process per data directory" in result.stderr
    assert ask(server, "SELECT 1") == "1\n"


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = run("--path", str(tmp_path / "file" / "store"), "--port", "0")
    assert result.returncode == 6
    assert str(tmp_path / "file" / "store") in result.stderr
    assert "Traceback" not in result.stderr


def test_a_port_in_use_is_refused_with_a_reason(server: Server, tmp_path: Path) -> None:
    result = run("--path", str(tmp_path / "x"), "--port", str(server.port))
    assert result.returncode == 6
    assert str(server.port) in result.stderr


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({"CLICKHOUSE_MAX_MEMORY_USAGE": "lots"}, "CLICKHOUSE_MAX_MEMORY_USAGE='lots'"),
        ({"CLICKHOUSE_MAX_SERVER_MEMORY_USAGE": "-1"}, "CLICKHOUSE_MAX_SERVER_MEMORY_USAGE='-1'"),
    ],
)
def test_a_bad_variable_is_named_with_its_value(tmp_path: Path, environ: dict[str, str], named: str) -> None:
    result = run("--path", str(tmp_path / "x"), "--port", "0", **environ)
    assert result.returncode == 2
    assert named in result.stderr


def test_an_unknown_key_of_the_json_file_is_named(tmp_path: Path) -> None:
    config = tmp_path / "c.json"
    config.write_text('{"pasword": "x"}')
    result = run("--path", str(tmp_path / "x"), "--port", "0", "--config", str(config))
    assert result.returncode == 2
    assert "pasword" in result.stderr


def test_the_extra_is_named_when_the_engine_is_missing(tmp_path: Path) -> None:
    code = (
        "import importlib.util as u, sys; find = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name == 'chdb' else find(name, *a)\n"
        "from test_framework.embedded_clickhouse.process import main\n"
        f"sys.exit(main(['--path', {str(tmp_path / 'x')!r}, '--port', '0']))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert result.returncode == 3
    assert 'pip install "real-service-test-framework[embedded]"' in result.stderr
