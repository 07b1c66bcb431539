"""The monitor as it is started, in a process, against real servers that are well, dead, stopped or foreign."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import pytest

from test_framework.endpoints import Endpoints, Secret
from test_framework.health import Overall, probe_all
from test_framework.services.base import FixtureFile, Health, SeedRequest
from test_framework.services.registry import service_named
from test_framework.waiting import Deadline, wait_until
from tests.servers import data_directory, free_port, run_clickhouse, run_postgres, run_redis

SERVICES = ("postgres", "redis", "clickhouse")
STACK = "stack-a-0001"
_RUNNERS = {"postgres": run_postgres, "redis": run_redis, "clickhouse": run_clickhouse}
_SEEDS = {
    "postgres": ("01.sql", b"CREATE TABLE parts (id int); INSERT INTO parts VALUES (1), (2), (3);"),
    "redis": ("01.yaml", b"part:1:\n  type: string\n  value: bolt\n"),
    "clickhouse": ("01.sql", b"CREATE TABLE parts (id UInt32) ENGINE = MergeTree ORDER BY id;"),
}
Report = dict[str, Any]


def load_seed(endpoints: Endpoints, name: str, stack_id: str = STACK) -> None:
    file, content = _SEEDS[name]
    checksum = hashlib.sha256(content).hexdigest()
    request = SeedRequest(
        steps=[FixtureFile(path=Path(file), content=content, checksum=checksum, name=f"fixtures/{name}/{file}")],
        checksum=checksum,
        stack_id=stack_id,
        progress=lambda _object, _rows, _seconds: None,
    )
    asyncio.run(service_named(name).seed(endpoints, request, 60.0))


@contextlib.contextmanager
def running(name: str) -> Iterator[Any]:
    with data_directory(name) as directory, _RUNNERS[name](directory) as endpoint:
        yield endpoint


@pytest.fixture(scope="module")
def stack() -> Iterator[Endpoints]:
    """Three seeded servers of this module's own. Whoever changes them puts them right again."""
    with contextlib.ExitStack() as resources:
        endpoints = Endpoints(**{name: resources.enter_context(running(name)) for name in SERVICES})
        for name in SERVICES:
            load_seed(endpoints, name)
        yield endpoints


def process_listening_on(port: int) -> psutil.Process:
    (pid,) = {
        row.pid
        for row in psutil.net_connections("tcp4")
        if row.status == psutil.CONN_LISTEN and row.laddr and row.laddr.port == port and row.pid
    }
    return psutil.Process(pid)


@contextlib.contextmanager
def frozen(port: int) -> Iterator[None]:
    process = process_listening_on(port)
    process.suspend()
    try:
        yield
    finally:
        process.resume()


@dataclass(frozen=True)
class Monitor:
    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def get(self, path: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def health(self) -> tuple[int, Report]:
        status, body = self.get("/health-status")
        return status, json.loads(body)

    def until(self, accept: Callable[[Report], bool]) -> tuple[int, Report]:
        """Wait for an answer that ``accept`` takes."""
        last: list[Report] = []

        async def look() -> tuple[int, Report] | None:
            status, report = self.health()
            last[:] = [report]
            return (status, report) if accept(report) else None

        found = asyncio.run(wait_until(look, Deadline.after(30.0)))
        assert found is not None, f"it never came; the last answer was {last}"
        return found

    def until_status(self, wanted: str) -> Report:
        return self.until(lambda report: report["status"] == wanted)[1]

    @property
    def resident_bytes(self) -> int:
        return int(psutil.Process(self.process.pid).memory_info().rss)


def variables(endpoints: Endpoints) -> dict[str, str]:
    postgres, redis, clickhouse = endpoints.postgres, endpoints.redis, endpoints.clickhouse
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TEST_")}
    return inherited | {
        "TEST_STACK_NAME": f"monitor-test-{os.getpid()}",
        "TEST_POSTGRES_HOST": postgres.host,
        "TEST_POSTGRES_PORT": str(postgres.port),
        "TEST_POSTGRES_USER": postgres.user,
        "TEST_POSTGRES_PASSWORD": postgres.password.reveal(),
        "TEST_POSTGRES_DB": postgres.database,
        "TEST_REDIS_HOST": redis.host,
        "TEST_REDIS_PORT": str(redis.port),
        "TEST_REDIS_PASSWORD": redis.password.reveal(),
        "TEST_CLICKHOUSE_HOST": clickhouse.host,
        "TEST_CLICKHOUSE_HTTP_PORT": str(clickhouse.port),
        "TEST_CLICKHOUSE_USER": clickhouse.user,
        "TEST_CLICKHOUSE_PASSWORD": clickhouse.password.reveal(),
        "TEST_CLICKHOUSE_DB": clickhouse.database,
    }


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Monitor]]:
    """Start monitors. Afterwards no password may be in anything they answered, logged or were called with."""
    with contextlib.ExitStack() as resources:

        def begin(endpoints: Endpoints, *arguments: str, **extra: str) -> Monitor:
            return resources.enter_context(_monitor(tmp_path, endpoints, arguments, extra))

        yield begin


@contextlib.contextmanager
def _monitor(
    directory: Path, endpoints: Endpoints, arguments: tuple[str, ...], extra: dict[str, str]
) -> Iterator[Monitor]:
    port_file, log = directory / "port", directory / "log"
    command = [sys.executable, "-m", "test_framework.monitoring", "--port", "0", "--port-file", str(port_file)]
    command += ["--interval", "0.2", "--timeout", "0.5", *arguments]
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=variables(endpoints) | extra, stdout=output, stderr=output)
    try:

        async def port() -> str | None:
            assert process.poll() is None, log.read_text()
            return port_file.read_text() if port_file.exists() else None

        found = asyncio.run(wait_until(port, Deadline.after(30.0)))
        assert found is not None
        monitor = Monitor(process, int(found), log)
        yield monitor
        _check_silence(monitor, endpoints)
    finally:
        process.kill()
        process.wait()


def _check_silence(monitor: Monitor, endpoints: Endpoints) -> None:
    if monitor.process.poll() is not None:
        return
    said = [monitor.get(path)[1] for path in ("/", "/health-status", "/metrics", "/nothing")]
    said += [monitor.log.read_bytes(), "\0".join(psutil.Process(monitor.process.pid).cmdline()).encode()]
    for name in SERVICES:
        canary = getattr(endpoints, name).password.reveal().encode()
        assert canary, name
        assert not any(canary in text for text in said)


def test_a_seeded_stack_is_healthy_with_everything_the_api_promises(
    stack: Endpoints, start: Callable[..., Monitor]
) -> None:
    status, report = start(stack).until(lambda report: report["status"] == "healthy")
    assert (status, report["schema"], report["healthy"], report["problems"]) == (200, 1, True, [])
    assert report["stack_id"] == STACK
    for name in SERVICES:
        service = report["services"][name]
        assert service["status"] == "healthy"
        assert service["address"] == getattr(stack, name).address
        assert service["version"]
        assert service["latency_ms"] > 0
        assert service["memory_bytes"] > 0
        assert service["connections"] >= 0
        file, content = _SEEDS[name]
        assert service["seed"]["files"] == {f"fixtures/{name}/{file}": hashlib.sha256(content).hexdigest()}
        assert service["seed"]["stack_id"] == STACK
    assert report["services"]["postgres"]["seed"]["counts"]


def test_metrics_of_a_healthy_stack_say_up_and_seeded_for_each_server(
    stack: Endpoints, start: Callable[..., Monitor]
) -> None:
    monitor = start(stack)
    monitor.until_status("healthy")
    status, body = monitor.get("/metrics")
    assert status == 200
    lines = body.decode().splitlines()
    for name in SERVICES:
        assert f'test_stack_up{{service="{name}"}} 1.0' in lines
        assert f'test_stack_seeded{{service="{name}"}} 1.0' in lines
    assert "test_stack_healthy 1.0" in lines


@pytest.mark.parametrize("name", SERVICES)
def test_a_server_that_dies_is_unreachable_and_the_others_stay_healthy(
    name: str, stack: Endpoints, start: Callable[..., Monitor]
) -> None:
    with running(name) as endpoint:
        endpoints = replace(stack, **{name: endpoint})
        load_seed(endpoints, name)
        monitor = start(endpoints)
        monitor.until_status("healthy")
        process_listening_on(endpoint.port).kill()
        status, report = monitor.until(lambda report: report["services"][name]["status"] == "unreachable")
    assert (status, report["status"]) == (503, "unhealthy")
    (problem,) = report["problems"]
    assert (problem["service"], problem["fix"]) == (name, "make test-up")
    assert {report["services"][other]["status"] for other in SERVICES if other != name} == {"healthy"}


@pytest.mark.parametrize("name", SERVICES)
def test_a_stopped_server_is_unresponsive_delays_no_other_and_is_healthy_again_when_it_continues(
    name: str, stack: Endpoints, start: Callable[..., Monitor]
) -> None:
    monitor = start(stack)
    monitor.until_status("healthy")
    other = SERVICES[SERVICES.index(name) - 1]
    with frozen(getattr(stack, name).port):
        status, report = monitor.until(lambda report: report["services"][name]["status"] == "unresponsive")
        assert (status, report["status"]) == (503, "unhealthy")
        assert {report["services"][one]["status"] for one in SERVICES if one != name} == {"healthy"}
        hung, asked = probes_of(monitor, name), probes_of(monitor, other)
        monitor.until(lambda _report: probes_of(monitor, name) >= hung + 4)
        assert probes_of(monitor, other) - asked > probes_of(monitor, name) - hung
    monitor.until_status("healthy")


def probes_of(monitor: Monitor, name: str) -> int:
    (line,) = re.findall(
        rf'^test_stack_probes_total{{service="{name}"}} (\S+)$', monitor.get("/metrics")[1].decode(), re.MULTILINE
    )
    return int(float(line))


@pytest.mark.parametrize("name", SERVICES)
def test_a_wrong_password_is_refused_and_never_shown(
    name: str, stack: Endpoints, start: Callable[..., Monitor]
) -> None:
    wrong = replace(getattr(stack, name), password=Secret("wrong-canary-0815"))
    monitor = start(replace(stack, **{name: wrong}))
    status, report = monitor.until(lambda report: report["services"][name]["status"] == "refused")
    assert status == 503
    assert "credentials" in report["problems"][0]["problem"]
    report = monitor.until_status("unhealthy")
    assert {report["services"][other]["status"] for other in SERVICES if other != name} == {"healthy"}


@pytest.mark.parametrize("name", SERVICES)
def test_a_server_that_was_never_seeded_makes_the_stack_not_seeded(
    name: str, stack: Endpoints, start: Callable[..., Monitor]
) -> None:
    with running(name) as endpoint:
        monitor = start(replace(stack, **{name: endpoint}))
        report = monitor.until_status("not_seeded")
        assert [(problem["service"], problem["fix"]) for problem in report["problems"]] == [(name, "make test-seed")]
        load_seed(replace(stack, **{name: endpoint}), name)
        monitor.until_status("healthy")


def test_a_server_that_comes_back_empty_is_said_to_have_lost_its_data(
    stack: Endpoints, start: Callable[..., Monitor]
) -> None:
    with running("redis") as endpoint:
        endpoints = replace(stack, redis=endpoint)
        load_seed(endpoints, "redis")
        monitor = start(endpoints)
        monitor.until_status("healthy")
        process = process_listening_on(endpoint.port)
        directory = process.cwd()
        process.kill()
        monitor.until_status("unhealthy")
        again = subprocess.Popen(
            ["redis-server", f"{directory}/redis.conf", "--port", str(endpoint.port)], stdout=subprocess.DEVNULL
        )
        try:
            report = monitor.until_status("not_seeded")
        finally:
            again.kill()
            again.wait()
    assert f"it was part of stack {STACK}" in report["problems"][0]["problem"]


@pytest.mark.parametrize("name", SERVICES)
def test_a_server_of_another_stack_is_a_stack_id_mismatch_that_names_it(
    name: str, stack: Endpoints, start: Callable[..., Monitor]
) -> None:
    load_seed(stack, name, "stack-b-0002")
    try:
        report = start(stack).until_status("stack_id_mismatch")
    finally:
        load_seed(stack, name)
    (problem,) = report["problems"]
    assert f"test-{name} bears stack-b-0002" in problem["problem"]
    assert report["stack_id"] is None


def test_three_servers_of_one_foreign_stack_are_a_mismatch_when_the_monitor_was_told_which_to_expect(
    stack: Endpoints, start: Callable[..., Monitor]
) -> None:
    report = start(stack, TEST_STACK_ID="stack-c-0003").until_status("stack_id_mismatch")
    assert "expected stack-c-0003" in report["problems"][0]["problem"]


def test_leases_are_counted_where_the_control_database_has_the_view(
    stack: Endpoints, start: Callable[..., Monitor]
) -> None:
    def control(sql: str) -> None:
        async def run() -> None:
            connection = await asyncpg.connect(
                stack.postgres.dsn.rpartition("/")[0] + "/tf_control", timeout=10, command_timeout=10
            )
            try:
                await connection.execute(sql)
            finally:
                await connection.close()

        asyncio.run(run())

    monitor = start(stack)
    assert monitor.until_status("healthy")["active_leases"] is None
    control("CREATE VIEW public.active_leases AS SELECT generate_series(1, 3) AS lease")
    try:
        monitor.until(lambda report: report["active_leases"] == 3)
        assert asyncio.run(probe_all(stack, timeout=10.0)).active_leases == 3
    finally:
        control("DROP VIEW public.active_leases")


def test_probe_all_calls_the_same_stack_healthy_and_a_foreign_one_not(stack: Endpoints) -> None:
    assert asyncio.run(probe_all(stack, timeout=10.0, stack_id=STACK)).status is Overall.HEALTHY
    assert asyncio.run(probe_all(stack, timeout=10.0, stack_id="other")).status is Overall.STACK_ID_MISMATCH


def test_probe_all_answers_with_one_server_stopped_and_one_dead(stack: Endpoints) -> None:
    endpoints = replace(stack, redis=replace(stack.redis, port=free_port()))
    with frozen(stack.postgres.port):
        report = asyncio.run(probe_all(endpoints, timeout=0.5))
    assert [reading.probe.health for reading in report.readings] == [
        Health.UNRESPONSIVE,
        Health.UNREACHABLE,
        Health.HEALTHY,
    ]


def idle_sockets(port: int, count: int) -> list[socket.socket]:
    return [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(count)]


def exchange(port: int, *pieces: bytes) -> bytes:
    """Send until the server will have no more, then read what it said."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        with contextlib.suppress(OSError):
            for piece in pieces:
                client.sendall(piece)
        answer = b""
        with contextlib.suppress(OSError):
            while more := client.recv(65536):
                answer += more
        return answer


def test_an_attack_leaves_the_monitor_small_alive_and_answering(
    stack: Endpoints, start: Callable[..., Monitor]
) -> None:
    monitor = start(stack)
    monitor.until_status("healthy")
    megabyte = b"x" * (1024 * 1024)
    with contextlib.ExitStack() as resources:
        resources.enter_context(frozen(stack.redis.port))
        for client in idle_sockets(monitor.port, 1000):
            resources.callback(client.close)
        assert monitor.get("/livez")[0] == 200
        big = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10485760\r\n\r\n"
        for _ in range(5):
            assert exchange(monitor.port, big, *[megabyte] * 10).startswith(b"HTTP/1.1 405 ")
            assert exchange(monitor.port, b"GET /" + megabyte * 10).startswith(b"HTTP/1.1 431 ")
        for _ in range(500):
            assert exchange(monitor.port, b"\0\xff nonsense\r\n\r\n").startswith(b"HTTP/1.1 400 ")
        for _ in range(500):
            assert exchange(monitor.port, b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n").startswith(b"HTTP/1.1 421 ")
        status, _ = monitor.until(lambda report: report["services"]["redis"]["status"] == "unresponsive")
        assert status == 503
        resident = monitor.resident_bytes
    assert resident < 64 * 1024 * 1024
    monitor.until_status("healthy")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_status_0_even_while_servers_hang_and_clients_hold_on(
    number: int, stack: Endpoints, start: Callable[..., Monitor]
) -> None:
    monitor = start(stack, "--timeout", "300")
    monitor.until_status("healthy")
    with contextlib.ExitStack() as resources:
        for name in SERVICES:
            resources.enter_context(frozen(getattr(stack, name).port))
        for client in idle_sockets(monitor.port, 20):
            resources.callback(client.close)
        # Five times the interval: a question to each of them is under way, and would be for five minutes.
        monitor.until(lambda report: all(report["services"][name]["probe_age_seconds"] > 1 for name in SERVICES))
        monitor.process.send_signal(number)
        assert monitor.process.wait(30) == 0


def test_a_name_server_that_never_answers_does_not_hold_up_the_end(stack: Endpoints, tmp_path: Path) -> None:
    # Asking it blocks a thread, which nothing can interrupt; the resolver is replaced since a real one gives up.
    program = """
import socket, sys, time
from pathlib import Path
from test_framework.monitoring.__main__ import main
def getaddrinfo(*_arguments, **_options):
    Path(sys.argv[1], "asked").touch()
    time.sleep(300)
socket.getaddrinfo = getaddrinfo
sys.exit(main(["--port", "0"]))
"""
    nameless = replace(stack, redis=replace(stack.redis, host="redis.invalid"))
    process = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], env=variables(nameless))

    async def asked() -> bool:
        return (tmp_path / "asked").exists()

    try:
        assert asyncio.run(wait_until(asked, Deadline.after(30.0)))
        process.terminate()
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()


def test_a_port_in_use_is_said_with_its_remedy_and_status_6(stack: Endpoints) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "test_framework.monitoring", "--port", str(port)]
        ended = subprocess.run(command, env=variables(stack), capture_output=True, text=True, timeout=60)
    assert ended.returncode == 6
    assert f"cannot listen on port {port}" in ended.stderr
    assert "TEST_MONITOR_PORT" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_an_impossible_setting_is_said_with_its_name_and_status_2(stack: Endpoints) -> None:
    environment = variables(stack) | {"TEST_REDIS_PORT": "many"}
    command = [sys.executable, "-m", "test_framework.monitoring", "--port", "0"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2
    assert "TEST_REDIS_PORT has the value 'many'" in ended.stderr


CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on PATH (Debian: apt-get install chromium)")
def test_the_page_shows_the_stack_to_people_and_breaks_no_rule_of_its_own_policy(
    stack: Endpoints, start: Callable[..., Monitor], tmp_path: Path
) -> None:
    monitor = start(stack)
    monitor.until_status("healthy")
    assert CHROMIUM is not None
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
    options += [f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr", "--virtual-time-budget=4000"]
    shown = subprocess.run(
        [CHROMIUM, *options, "--dump-dom", f"http://127.0.0.1:{monitor.port}/"],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert re.search(r'<strong id="status"[^>]*>Healthy</strong>', shown.stdout)
    for name, title in (("postgres", "PostgreSQL"), ("redis", "Redis"), ("clickhouse", "ClickHouse")):
        assert f">{title}</h2>" in shown.stdout
        assert f">{getattr(stack, name).address}</dd>" in shown.stdout
    assert STACK in shown.stdout
    assert "CONSOLE" not in shown.stderr, shown.stderr
