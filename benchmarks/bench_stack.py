"""Start and stop of the whole stack, natively and with Docker, against the way it is usually done."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

from benchmarks.common import Section, interleaved, machine, median, memory_of, table, timed
from test_framework.stack.binaries import find_binaries
from test_framework.stack.cluster import os_user_for_postgres
from test_framework.stack.engine import find_engine

ROUNDS = 5
ROOT = Path(__file__).resolve().parent.parent
FRAMEWORK = [sys.executable, "-m", "test_framework"]
FREE_PORTS = ("TEST_POSTGRES_PORT", "TEST_REDIS_PORT", "TEST_CLICKHOUSE_HTTP_PORT", "TEST_MONITOR_PORT")


class Bench:
    """One stack of its own, apart from any that the user runs."""

    def __init__(self, backend: str, state: Path) -> None:
        self.backend = backend
        self.environment = {
            **os.environ,
            **dict.fromkeys(FREE_PORTS, "0"),
            "TEST_STACK_NAME": f"bench-{backend}",
            "TEST_STATE_DIR": str(state),
        }

    def run(self, *arguments: str) -> str:
        done = subprocess.run(
            [*FRAMEWORK, *arguments], env=self.environment, cwd=ROOT, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise RuntimeError(f"{arguments}: {done.stderr}")
        return done.stdout

    def up(self) -> None:
        self.run("up", "--backend", self.backend)

    def down(self) -> None:
        self.run("down")

    def cycle(self) -> dict[str, float]:
        """Cold up, warm up and down, in seconds."""
        return {"cold up": timed(self.up), "warm up": timed(self.up), "down": timed(self.down)}


def measure() -> Iterator[Section]:
    """The native stack always; the Docker stack where an engine answers."""
    with tempfile.TemporaryDirectory() as state:
        native = Bench("native", Path(state))
        native.up()  # whatever is prepared once is prepared now
        native.down()
        cycles = [native.cycle() for _ in range(ROUNDS)]
        rows = [
            [name, f"{median(c[name] for c in cycles):.2f}", f"{min(c[name] for c in cycles):.2f}", target]
            for name, target in (("cold up", "≤ 2.5"), ("warm up", "≤ 0.3"), ("down", "≤ 1.5"))
        ]
        yield Section("Native stack, start and stop", _body("seconds, everything seeded and healthy", rows))
        yield Section("Native stack, memory", _memory(native))
        yield Section("Single servers, start to first answer", _servers())
        if find_engine().problem is None:
            docker = Bench("compose", Path(state))
            docker.up()
            docker.down()
            cycles = [docker.cycle() for _ in range(ROUNDS)]
            rows = [
                [name, f"{median(c[name] for c in cycles):.2f}", f"{min(c[name] for c in cycles):.2f}", target]
                for name, target in (("cold up", "≤ 6"), ("warm up", "≤ 0.3"), ("down", "≤ 4"))
            ]
            yield Section("Docker stack, start and stop", _body("seconds, images present", rows))


def _body(unit: str, rows: list[list[str]]) -> str:
    head = f"`python -m benchmarks stack` on {machine()}; {ROUNDS} rounds.\n\n"
    return head + table([unit, "median", "fastest", "aim"], rows)


def _memory(native: Bench) -> str:
    native.up()
    try:
        found = json.loads(native.run("up", "--backend", "native", "--json"))
        marker, sizes = found["run_dir"], dict[str, tuple[float, float]]()
        for name, matches in _PROCESSES.items():
            sizes[name] = memory_of(p for p in psutil.process_iter() if _belongs(p, marker, matches))
        rows = [[name, f"{pss:.0f}", f"{rss:.0f}"] for name, (pss, rss) in sizes.items()]
        note = "\n\nPSS splits shared pages between the processes that share them; RSS counts them in each."
        return f"Idle, right after `up`, on {machine()}.\n\n" + table(["server", "PSS MiB", "RSS MiB"], rows) + note
    finally:
        native.down()


_PROCESSES: dict[str, str] = {
    "postgres": "/postgres",
    "redis": "redis-server",
    "clickhouse (embedded)": "embedded_clickhouse",
    "monitor": "monitor",
    "supervisor and all of these": "supervisord",
}


def _belongs(process: psutil.Process, marker: str, word: str) -> bool:
    try:
        return process.environ().get("TEST_FRAMEWORK_RUN_DIR") == marker and word in " ".join(process.cmdline())
    except psutil.Error:
        return False


def _servers() -> str:
    """Ours: copy a prepared cluster and start. Usual: initdb, start, ask every five seconds, load the seed by psql."""
    binaries = find_binaries(os.environ)
    assert binaries.postgres is not None
    assert binaries.initdb is not None
    assert binaries.redis is not None
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as scratch:
        work = Path(scratch)
        work.chmod(0o755)
        prepared = work / "prepared"
        make_cluster(binaries.initdb, prepared)
        actions = {
            "PostgreSQL, prepared cluster": lambda: _postgres(binaries.postgres.path, work, prepared, None, 0.01),
            "PostgreSQL, initdb, asked every 10 ms": lambda: _postgres(
                binaries.postgres.path, work, None, binaries.initdb, 0.01
            ),
            "PostgreSQL, initdb, asked every 5 s": lambda: _postgres(
                binaries.postgres.path, work, None, binaries.initdb, 5
            ),
            "Redis, tuned": lambda: _redis(binaries.redis.path, work),
        }
        found = interleaved(actions, ROUNDS)
    usual = median(found["PostgreSQL, initdb, asked every 5 s"])
    rows = []
    for name, values in found.items():
        ratio = f"{usual / median(values):.0f} x" if name.startswith("PostgreSQL") else ""
        rows.append([name, f"{median(values):.3f}", f"{min(values):.3f}", ratio])
    head = f"{ROUNDS} rounds, interleaved, on {machine()}. Aim: PostgreSQL ≤ 0.6 s, Redis ≤ 0.1 s.\n\n"
    return head + table(["seconds", "median", "fastest", "faster than asking every 5 s"], rows)


def make_cluster(initdb: Path, data: Path) -> None:
    user = os_user_for_postgres()
    data.mkdir()
    if user:
        shutil.chown(data, user)
    command = [str(initdb), "-D", str(data), "--no-locale", "--encoding=UTF8", "--auth=trust", "--wal-segsize=1"]
    subprocess.run(command, user=user, cwd="/", check=True, capture_output=True)


def _postgres(postgres: Path, work: Path, prepared: Path | None, initdb: Path | None, interval: float) -> float:
    data = Path(tempfile.mkdtemp(dir=work))
    data.rmdir()
    port = free_port()
    started = time.perf_counter()
    if prepared:
        subprocess.run(["cp", "-a", str(prepared), str(data)], check=True)
    else:
        assert initdb is not None
        make_cluster(initdb, data)
    options = [
        "-c",
        f"port={port}",
        "-c",
        "listen_addresses=127.0.0.1",
        "-c",
        "unix_socket_directories=",
        "-c",
        "fsync=off",
    ]
    return _start_and_wait([str(postgres), "-D", str(data), *options], port, started, interval, postgres_answers, data)


def _redis(redis: Path, work: Path) -> float:
    port = free_port()
    configuration = ROOT / "images" / "redis" / "redis.test.conf"
    command = [str(redis), str(configuration), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(work)]
    return _start_and_wait(command, port, time.perf_counter(), 0.005, redis_answers, None)


def _start_and_wait(
    command: list[str], port: int, started: float, interval: float, answers: Callable[[int], bool], data: Path | None
) -> float:
    server = subprocess.Popen(
        command, user=os_user_for_postgres(), cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        # As health checks do: the first question comes after one interval.
        while True:
            time.sleep(interval)
            if answers(port):
                return time.perf_counter() - started
    finally:
        server.send_signal(signal.SIGINT)
        server.wait()
        if data:
            shutil.rmtree(data)


def redis_answers(port: int) -> bool:
    return _exchange(port, b"PING\r\n").startswith(b"+PONG")


def postgres_answers(port: int) -> bool:
    """The start-up packet is answered with a request for authentication, not with "the database is starting up"."""
    body = b"\x00\x03\x00\x00user\x00postgres\x00database\x00postgres\x00\x00"
    return _exchange(port, (len(body) + 4).to_bytes(4, "big") + body).startswith(b"R")


def _exchange(port: int, message: bytes) -> bytes:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(message)
            return connection.recv(64)
    except OSError:
        return b""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
