"""Real servers for the project's own tests: a process each, on an ephemeral port, with data on tmpfs if there is one.

They know nothing of the stack or its backends, so that what is below those can be tested by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from test_framework.endpoints import ClickHouseEndpoint, Endpoints, PostgresEndpoint, RedisEndpoint, Secret
from test_framework.services.base import Health, Service
from test_framework.services.registry import service_named
from test_framework.waiting import Deadline, wait_until

__all__ = ["data_directory", "die_with_parent", "free_port", "run_clickhouse", "run_postgres", "run_redis"]

START_TIMEOUT = 60.0
POSTGRES_PASSWORD = "pg-canary-4711"
SUPERUSER_PASSWORD = "pg-superuser-canary-4711"
REDIS_PASSWORD = "redis-canary-4711"
CLICKHOUSE_PASSWORD = "ch-canary-4711"

# What bootstrap does on a real stack: a role that is no superuser, and an empty database of its own.
_BOOTSTRAP = f"""
ALTER ROLE postgres PASSWORD '{SUPERUSER_PASSWORD}';
CREATE ROLE test_user LOGIN CREATEDB PASSWORD '{POSTGRES_PASSWORD}' IN ROLE pg_monitor, pg_signal_backend;
CREATE DATABASE netra_test OWNER test_user;
"""
_POSTGRES_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "100",
    "shared_buffers": "32MB",
    "autovacuum": "off",
    "max_wal_size": "256MB",
}


def free_port() -> int:
    """A TCP port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def data_directory(name: str) -> Iterator[Path]:
    """A fresh directory on tmpfs where there is one; gone afterwards."""
    base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    directory = Path(tempfile.mkdtemp(prefix=f"tf-{name}-", dir=base))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def die_with_parent() -> None:
    """To be called in a child before it becomes a server: a test run that is killed takes its servers along."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # 1 is PR_SET_PDEATHSIG


def _find(program: str) -> str:
    places = [str(path) for path in sorted(Path("/usr/lib/postgresql").glob("15/bin"))]
    found = shutil.which(program, path=os.pathsep.join([*places, os.environ.get("PATH", ""), "/usr/sbin"]))
    if found is None:
        raise RuntimeError(f"{program} is not installed: run 'make test-up' once, it installs what is missing")
    return found


def _unprivileged() -> dict[str, object]:
    """PostgreSQL refuses to run as root."""
    return {"user": "postgres", "group": "postgres", "extra_groups": []} if os.getuid() == 0 else {}


@contextlib.contextmanager
def _process(
    command: Callable[[int], Sequence[str]],
    service: Service,
    endpoints: Callable[[int], Endpoints],
    log: Path,
    **options: object,
) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """Start ``command(port)`` and wait until it answers; another port when that one was taken meanwhile."""
    for _ in range(5):
        port = free_port()
        with log.open("ab") as output:
            process = subprocess.Popen(
                command(port),
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - a prctl alone, and no thread of ours holds a lock here
                **options,  # type: ignore[call-overload]
            )
        try:
            if asyncio.run(_answers(process, service, endpoints(port))):
                yield port, process
                return
        finally:
            _stop(process)
    raise RuntimeError(f"{service.name} did not start:\n{log.read_text('utf-8', 'replace')[-4000:]}")


async def _answers(process: subprocess.Popen[bytes], service: Service, endpoints: Endpoints) -> bool:
    async def check() -> str | None:
        if process.poll() is not None:
            return "dead"
        return "up" if (await service.probe(endpoints, 5.0)).health is Health.HEALTHY else None

    return await wait_until(check, Deadline.after(START_TIMEOUT)) == "up"


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGCONT)  # a test may have stopped it
            process.send_signal(signal.SIGINT)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextlib.contextmanager
def run_postgres(directory: Path) -> Iterator[PostgresEndpoint]:
    """PostgreSQL with the role ``test_user`` (no superuser) and its empty database ``netra_test``."""
    options = _unprivileged()
    if options:
        shutil.chown(directory, "postgres", "postgres")
    data = directory / "data"
    subprocess.run(
        [
            _find("initdb"),
            "-D",
            data,
            "-U",
            "postgres",
            "-N",
            "--no-locale",
            "-E",
            "UTF8",
            "--wal-segsize=1",
            "-A",
            "trust",
        ],
        stdout=subprocess.DEVNULL,
        check=True,
        cwd=directory,
        **options,  # type: ignore[call-overload]
    )
    (data / "pg_hba.conf").write_text("host all all 127.0.0.1/32 scram-sha-256\n")
    settings = [part for name, value in _POSTGRES_SETTINGS.items() for part in ("-c", f"{name}={value}")]
    subprocess.run(
        [_find("postgres"), "--single", "-D", data, "-j", "postgres"],
        input=_BOOTSTRAP.replace(";\n", ";\n\n").encode(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
        cwd=directory,
        **options,  # type: ignore[call-overload]
    )

    def endpoint(port: int) -> PostgresEndpoint:
        return PostgresEndpoint(host="127.0.0.1", port=port, password=Secret(POSTGRES_PASSWORD))

    with _process(
        lambda port: [_find("postgres"), "-D", str(data), "-p", str(port), *settings],
        service_named("postgres"),
        lambda port: Endpoints(postgres=endpoint(port)),
        directory / "log",
        cwd=directory,
        **options,
    ) as (port, _):
        yield endpoint(port)


@contextlib.contextmanager
def run_redis(directory: Path) -> Iterator[RedisEndpoint]:
    """Redis with a password and 256 databases."""

    def endpoint(port: int) -> RedisEndpoint:
        return RedisEndpoint(host="127.0.0.1", port=port, password=Secret(REDIS_PASSWORD))

    (directory / "redis.conf").write_text(
        f'bind 127.0.0.1\nsave ""\nappendonly no\ndatabases 256\nrequirepass {REDIS_PASSWORD}\ndir "{directory}"\n'
    )
    with _process(
        lambda port: [_find("redis-server"), str(directory / "redis.conf"), "--port", str(port)],
        service_named("redis"),
        lambda port: Endpoints(redis=endpoint(port)),
        directory / "log",
    ) as (port, _):
        yield endpoint(port)


@contextlib.contextmanager
def run_clickhouse(directory: Path) -> Iterator[ClickHouseEndpoint]:
    """The embedded ClickHouse engine behind its HTTP endpoint."""
    program = [sys.executable, "-m", "test_framework.embedded_clickhouse"]

    def endpoint(port: int) -> ClickHouseEndpoint:
        return ClickHouseEndpoint(host="127.0.0.1", port=port, password=Secret(CLICKHOUSE_PASSWORD))

    account = {
        "CLICKHOUSE_USER": "test_user",
        "CLICKHOUSE_PASSWORD": CLICKHOUSE_PASSWORD,
        "CLICKHOUSE_DB": "netra_test",
    }
    with _process(
        lambda port: [*program, "--path", str(directory / "data"), "--port", str(port)],
        service_named("clickhouse"),
        lambda port: Endpoints(clickhouse=endpoint(port)),
        directory / "log",
        env={**os.environ, **account},
    ) as (port, _):
        yield endpoint(port)
