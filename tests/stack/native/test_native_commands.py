"""The commands on a running native stack, as a user types them."""

from __future__ import annotations

import http.client
import json
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from dotenv import dotenv_values

from test_framework.stack.definition import SERVICES
from tests.native_stack import SERVERS, NativeStack
from tests.stack.native.conftest import CANARY, PASSWORDS


def fetch(running: NativeStack, path: str) -> tuple[int, str]:
    endpoint = running.state.endpoints.monitor
    connection = http.client.HTTPConnection(endpoint.host, endpoint.port, timeout=5)
    connection.request("GET", path)
    response = connection.getresponse()
    text = response.read().decode()
    connection.close()
    return response.status, text


def test_a_second_up_leaves_a_healthy_stack_alone(running: NativeStack) -> None:
    before, pids = running.state, running.pids()
    written = (running.state_directory / "state.json").stat().st_mtime_ns
    answer = running.json("up")
    assert answer["started"] is False
    assert answer["stack_id"] == before.stack_id
    assert running.pids() == pids
    assert (running.state_directory / "state.json").stat().st_mtime_ns == written


def test_up_tells_every_endpoint_but_no_password(running: NativeStack) -> None:
    endpoints = running.state.endpoints
    text = running.ok("up")
    for address in (endpoints.postgres.safe_dsn, endpoints.redis.safe_url, endpoints.clickhouse.base_url):
        assert address in text
    assert f"{endpoints.monitor.base_url}/health-status" in text
    assert f"{running.name} is already up (native)" in text


def test_clients_learn_the_ports_and_passwords_from_the_running_stack(running: NativeStack) -> None:
    endpoints = running.without(*PASSWORDS).settings.endpoints
    assert endpoints == running.state.endpoints
    assert endpoints.postgres.password.reveal() == CANARY
    assert 0 not in {endpoints.postgres.port, endpoints.redis.port, endpoints.clickhouse.port, endpoints.monitor.port}


def test_the_environment_wins_over_what_the_stack_published(running: NativeStack) -> None:
    assert running.having(TEST_REDIS_PORT="1").settings.endpoints.redis.port == 1


def test_all_servers_answer_at_the_published_endpoints_with_the_shipped_seed(running: NativeStack) -> None:
    assert running.postgres("SELECT count(*) >= 50 FROM auth.users") == [(True,)]
    assert int(running.clickhouse("SELECT count() FROM user_events")) >= 100_000
    assert running.redis("DBSIZE") > 10


def test_status_shows_each_server(running: NativeStack) -> None:
    text = running.ok("status")
    assert text.splitlines()[0] == f"{running.name} (native): healthy"
    for service in ("postgres", "redis", "clickhouse"):
        line = next(line for line in text.splitlines() if line.strip().startswith(service))
        assert "healthy" in line
        assert f"127.0.0.1:{getattr(running.state.endpoints, service).port}" in line
        assert line.endswith("seeded")


def test_status_as_json_is_the_health_report(running: NativeStack) -> None:
    answer = running.json("status")
    assert answer["status"] == "healthy"
    assert answer["stack_id"] == running.state.stack_id
    assert set(answer["services"]) == {"postgres", "redis", "clickhouse"}


@pytest.mark.parametrize("service", SERVERS)
def test_logs_of_one_service_are_its_own(running: NativeStack, service: str) -> None:
    file = running.run_dir / "logs" / f"{service}.log"
    assert running.ok("logs", service, "-n", "1000").rstrip("\n") == file.read_text().rstrip("\n")


def test_logs_show_all_services_with_headings(running: NativeStack) -> None:
    headings = [line for line in running.ok("logs").splitlines() if line.startswith("==> test-")]
    assert headings == [f"==> {service} <==" for service in SERVICES]


def test_logs_into_a_pipe_that_closes_end_without_a_traceback(running: NativeStack) -> None:
    process = running.start("logs")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert "Traceback" not in process.stderr.read()
    process.stderr.close()
    process.wait(timeout=20)


def test_env_for_a_shell_gives_what_connects(running: NativeStack) -> None:
    script = f'{running.ok("env")}\nprintf "%s\\n" "$TEST_DATABASE_URL" "$TEST_REDIS_PASSWORD"'
    lines = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout.splitlines()
    assert lines == [running.state.endpoints.postgres.dsn, CANARY]


def test_env_as_json_points_a_program_at_the_stack(running: NativeStack) -> None:
    values = json.loads(running.ok("env", "--format", "json"))
    variables = {name: str(value) for name, value in values.items()}
    assert (
        running.having(**variables | {"TEST_STATE_DIR": "/nonexistent"}).settings.endpoints == running.state.endpoints
    )


def test_env_as_dotenv_is_read_back_the_same(running: NativeStack, tmp_path: Path) -> None:
    file = tmp_path / ".env.test"
    file.write_text(running.ok("env", "--format", "dotenv"))
    values = dotenv_values(file)
    assert values["TEST_POSTGRES_PASSWORD"] == CANARY
    assert values["TEST_CLICKHOUSE_URL"] == running.state.endpoints.clickhouse.url


def test_validate_passes_on_a_fresh_stack_and_asks_for_every_tuned_setting(running: NativeStack) -> None:
    checks = {check["name"]: check for check in running.json("validate")["checks"]}
    assert [check for check in checks.values() if check["ok"] is not True] == []
    assert checks["postgres fsync"]["found"] == "off"
    assert checks["redis maxmemory-policy"]["found"] == "noeviction"
    assert checks["redis appendonly"]["found"] == "yes"
    assert checks["clickhouse max_threads"]["found"] == "2"
    assert {"health", "postgres version", "redis seed", "clickhouse max_memory_usage"} <= set(checks)


def test_validate_fails_when_the_definition_says_otherwise(running: NativeStack, tmp_path: Path) -> None:
    override = tmp_path / "other.yml"
    override.write_text("services: {test-postgres: {environment: {POSTGRES_WORK_MEM: 9MB}}}")
    done = running.having(TEST_COMPOSE_OVERRIDE=str(override)).run("validate")
    assert done.returncode == 1
    assert "FAIL  postgres work_mem: 4MB instead of 9MB" in done.stdout


def test_doctor_names_the_backend_and_its_reason(running: NativeStack) -> None:
    checks = {check["name"]: check for check in running.json("doctor")["checks"]}
    assert checks["backend"]["found"].startswith("native, because no Docker engine can be used: ")
    assert checks["stack"]["found"] == f"{running.name} is up (native)"
    assert checks["docker"]["ok"] is None
    assert checks["postgres"]["found"].split()[-1].startswith("15.")


def test_seed_without_a_change_loads_nothing(running: NativeStack) -> None:
    answer = running.json("seed")
    assert answer["loaded"] is False
    assert running.ok("seed").startswith("unchanged: ")


def test_state_and_run_directory_are_closed_to_others(running: NativeStack) -> None:
    assert stat.S_IMODE(running.state_directory.stat().st_mode) == 0o700
    assert stat.S_IMODE((running.state_directory / "state.json").stat().st_mode) == 0o600
    open_to_others = [path.name for path in running.run_dir.iterdir() if stat.S_IMODE(path.lstat().st_mode) & 0o077]
    # Its number is no secret.
    assert open_to_others in ([], ["supervisord.pid"])


def test_servers_listen_on_the_loopback_alone(running: NativeStack) -> None:
    pids = {process.pid for process in running.processes()}
    listening = [c for c in psutil.net_connections("inet") if c.status == psutil.CONN_LISTEN and c.pid in pids]
    assert {connection.laddr.ip for connection in listening} == {"127.0.0.1"}
    endpoints = running.state.endpoints
    assert {c.laddr.port for c in listening} == {
        endpoints.postgres.port,
        endpoints.redis.port,
        endpoints.clickhouse.port,
        endpoints.monitor.port,
    }


def test_postgres_never_runs_as_root(running: NativeStack) -> None:
    assert running.server("test-postgres").uids().effective != 0
    assert (running.run_dir / "postgres").stat().st_uid == running.server("test-postgres").uids().effective


def command_lines(_: NativeStack) -> str:
    return "\n".join(" ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"]))


def files_of_supervisor(running: NativeStack) -> str:
    files = [running.run_dir / "supervisord.conf", *sorted((running.run_dir / "logs").iterdir())]
    return "\n".join(file.read_text(errors="replace") for file in files)


SHOWN: dict[str, Callable[[NativeStack], str]] = {
    "command lines": command_lines,
    "logs and supervisor's file": files_of_supervisor,
    "health-status": lambda running: fetch(running, "/health-status")[1],
    "metrics": lambda running: fetch(running, "/metrics")[1],
    "up": lambda running: running.ok("up", "--json"),
    "status": lambda running: running.ok("status", "--json"),
    "validate": lambda running: running.ok("validate", "--json"),
    "doctor": lambda running: running.ok("doctor", "--json"),
    "logs": lambda running: running.ok("logs"),
}


@pytest.mark.parametrize("place", SHOWN)
def test_no_password_is_shown(running: NativeStack, place: str) -> None:
    shown = SHOWN[place](running)
    assert len(shown) > 100, "something was looked at"
    assert "canary" not in shown
