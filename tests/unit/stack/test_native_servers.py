"""From the definition to programs, files and environment of the native servers."""

from __future__ import annotations

import dataclasses
import hashlib
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from test_framework.errors import SettingsError
from test_framework.stack.addresses import TARGETS, Address, endpoints_at
from test_framework.stack.binaries import Binaries, Program, find_binaries
from test_framework.stack.native_servers import NativeServers
from test_framework.stack.supervisor import ServerProgram
from tests.unit.stack.definitions import define

CANARY = "canary-4711'\"\\&<>"
PASSWORDS = dict.fromkeys(("TEST_POSTGRES_PASSWORD", "TEST_REDIS_PASSWORD", "TEST_CLICKHOUSE_PASSWORD"), CANARY)


def with_clickhouse(found: Binaries, path: str = "/opt/clickhouse") -> Binaries:
    return dataclasses.replace(found, clickhouse=Program(Path(path), "26.3.1.1"))


def servers(project: Path, override: str = "", *, clickhouse: bool = False, **variables: str) -> NativeServers:
    definition = define(project, override, **PASSWORDS, **variables)
    addresses = {name: Address("127.0.0.1", number) for number, name in enumerate(TARGETS, 1000)}
    run_dir = project / "run"
    run_dir.mkdir(exist_ok=True)
    found = find_binaries({})
    return NativeServers(
        definition=definition,
        binaries=with_clickhouse(found) if clickhouse else dataclasses.replace(found, clickhouse=None),
        run_dir=run_dir,
        endpoints=endpoints_at(definition, addresses),
        stack_id="abc",
    )


def program(servers: NativeServers, name: str) -> ServerProgram:
    return next(each for each in servers.programs() if each.name == name)


def test_each_server_listens_where_its_endpoint_says(tmp_path: Path) -> None:
    made = servers(tmp_path)
    made.prepare()
    assert f"port={made.endpoints.postgres.port}" in program(made, "test-postgres").argv
    assert "listen_addresses=127.0.0.1" in program(made, "test-postgres").argv
    for name in ("clickhouse", "monitor"):
        argv = list(program(made, f"test-{name}").argv)
        assert argv[argv.index("--port") + 1] == str(getattr(made.endpoints, name).port)
        assert argv[argv.index("--host") + 1] == "127.0.0.1"
    lines = (tmp_path / "run" / "redis" / "redis.conf").read_text().splitlines()
    assert {f"port {made.endpoints.redis.port}", "bind 127.0.0.1", "daemonize no", "appendonly yes"} <= set(lines)


def test_no_password_is_on_a_command_line(tmp_path: Path) -> None:
    for clickhouse in (True, False):
        for each in servers(tmp_path, clickhouse=clickhouse).programs():
            assert "canary" not in " ".join(each.argv)


def test_redis_reads_its_file_with_the_tuned_one_first_and_the_users_flags_last(tmp_path: Path) -> None:
    made = servers(tmp_path, "services: {test-redis: {command: redis-server --databases 7}}")
    made.prepare()
    lines = (tmp_path / "run" / "redis" / "redis.conf").read_text().splitlines()
    assert lines[0] == "include redis.test.conf"
    assert lines[-1] == 'databases "7"'
    # Redis itself finds no fault with it; without a port it ends then.
    said = subprocess.run(
        [str(made.binaries.redis and made.binaries.redis.path), "redis.conf", "--port", "0"],
        cwd=tmp_path / "run" / "redis",
        capture_output=True,
        text=True,
    )
    assert "FATAL CONFIG" not in said.stdout + said.stderr
    assert "not listen anywhere" in said.stdout + said.stderr


def test_a_clickhouse_server_gets_the_shipped_configuration_with_its_user(tmp_path: Path) -> None:
    made = servers(tmp_path, clickhouse=True, TEST_CLICKHOUSE_USER="somebody")
    made.prepare()
    config = tmp_path / "run" / "clickhouse" / "config"
    assert program(made, "test-clickhouse").argv == [
        "/opt/clickhouse",
        "server",
        f"--config-file={config / 'config.xml'}",
    ]
    assert sorted(str(file.relative_to(config)) for file in config.rglob("*.xml")) == [
        "config.d/test.xml",
        "config.xml",
        "users.d/test.xml",
        "users.xml",
    ]
    users = ElementTree.parse(config / "users.xml").find("users")
    assert users is not None
    assert [user.tag for user in users] == ["somebody"]


def test_every_variable_that_the_clickhouse_configuration_asks_for_is_given(tmp_path: Path) -> None:
    made = servers(tmp_path, clickhouse=True)
    made.prepare()
    wanted = {
        element.attrib["from_env"]
        for file in (tmp_path / "run" / "clickhouse" / "config").rglob("*.xml")
        for element in ElementTree.parse(file).iter()
        if "from_env" in element.attrib
    }
    environment = made.environment()
    assert wanted
    assert {name for name in wanted if not environment.get(name)} == set()
    assert environment["CLICKHOUSE_PASSWORD_SHA256"] == hashlib.sha256(CANARY.encode()).hexdigest()


@pytest.mark.parametrize("user", ["1st", "a b", "a<b", "a/b"])
def test_a_user_that_cannot_be_an_xml_element_is_refused(tmp_path: Path, user: str) -> None:
    with pytest.raises(SettingsError, match="CLICKHOUSE_USER"):
        servers(tmp_path, clickhouse=True, TEST_CLICKHOUSE_USER=user).prepare()


def test_flags_of_the_clickhouse_command_reach_either_program(tmp_path: Path) -> None:
    override = "services: {test-clickhouse: {command: clickhouse-server --max_connections=7}}"
    server = program(servers(tmp_path, override, clickhouse=True), "test-clickhouse").argv
    assert list(server[-2:]) == ["--", "--max_connections=7"]
    assert program(servers(tmp_path, override), "test-clickhouse").argv[-1] == "--max_connections=7"


def test_the_monitor_is_told_where_the_servers_are_and_not_where_containers_would_find_them(tmp_path: Path) -> None:
    made = servers(tmp_path)
    environment = made.environment()
    assert environment["TEST_POSTGRES_HOST"] == environment["TEST_REDIS_HOST"] == "127.0.0.1"
    assert environment["TEST_CLICKHOUSE_HTTP_PORT"] == str(made.endpoints.clickhouse.port)
    assert environment["TEST_STACK_ID"] == "abc"


def test_python_programs_run_with_this_interpreter_and_not_with_what_lies_in_their_directory(tmp_path: Path) -> None:
    for name in ("test-clickhouse", "test-monitor"):
        assert list(program(servers(tmp_path), name).argv[:3]) == [sys.executable, "-P", "-m"]


def test_postgres_is_stopped_without_waiting_for_its_clients(tmp_path: Path) -> None:
    assert program(servers(tmp_path), "test-postgres").stop_signal == "INT"
