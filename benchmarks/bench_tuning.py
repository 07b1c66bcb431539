"""What each setting of the tuned configuration buys, in memory and in time, one setting taken back at a time."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import psutil

from benchmarks.bench_stack import ROOT, free_port, make_cluster, postgres_answers, redis_answers
from benchmarks.common import Section, interleaved, machine, median, memory_of, table
from test_framework.stack.binaries import find_binaries
from test_framework.stack.cluster import os_user_for_postgres

ROUNDS = 5
COMMITS = 400
COMMANDS = 20_000

# The tuned value is in images/postgres/postgresql.test.conf; here is what PostgreSQL does by itself.
POSTGRES_DEFAULTS = {
    "as shipped": "",
    "fsync = on": "fsync = on",
    "full_page_writes = on": "full_page_writes = on",
    "synchronous_commit = off": "synchronous_commit = off",
    "wal_level = replica": "wal_level = replica",
    "shared_buffers = 128MB": "shared_buffers = 128MB",
    "max_connections = 100": "max_connections = 100",
    "autovacuum = on": "autovacuum = on",
    "jit = on": "jit = on",
}
REDIS_DEFAULTS = {
    "as shipped, in a container": "",
    "natively (append-only file)": "appendonly yes\nappendfsync no",
    "databases 16": "databases 16",
    "io-threads 4": "io-threads 4",
}


def measure() -> Iterator[Section]:
    """One section for each server."""
    binaries = find_binaries({})
    assert binaries.postgres is not None
    assert binaries.initdb is not None
    assert binaries.redis is not None
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as scratch:
        work = Path(scratch)
        work.chmod(0o755)
        prepared = work / "prepared"
        make_cluster(binaries.initdb, prepared)
        yield Section("PostgreSQL, what each setting buys", _postgres(binaries.postgres.path, prepared, work))
        yield Section("Redis, what each setting buys", _redis(binaries.redis.path, work))


def _rows(measured: dict[str, list[dict[str, float]]], columns: list[tuple[str, str]]) -> list[list[str]]:
    return [
        [name, *(format(median(each[key] for each in rounds), style) for key, style in columns)]
        for name, rounds in measured.items()
    ]


def _postgres(postgres: Path, prepared: Path, work: Path) -> str:
    measured: dict[str, list[dict[str, float]]] = {name: [] for name in POSTGRES_DEFAULTS}
    for _ in range(ROUNDS):
        for name, change in POSTGRES_DEFAULTS.items():
            with _postgres_server(postgres, prepared, work, change) as (port, process):
                measured[name].append({**asyncio.run(_ask_postgres(port)), "pss": _pss(process)})
    columns = [("create", ".1f"), ("commits", ".0f"), ("pss", ".0f")]
    head = f"The tuned file with one setting put back to another value; {ROUNDS} rounds, interleaved, {machine()}.\n\n"
    return head + table(["", "CREATE DATABASE ms", "commits a second", "PSS MiB"], _rows(measured, columns))


@contextmanager
def _postgres_server(
    postgres: Path, prepared: Path, work: Path, change: str
) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    with tempfile.TemporaryDirectory(dir=work) as directory:
        Path(directory).chmod(0o755)
        data = Path(directory) / "data"
        subprocess.run(["cp", "-a", str(prepared), str(data)], check=True)
        tuned = (ROOT / "images" / "postgres" / "postgresql.test.conf").read_text("utf-8")
        with (data / "postgresql.conf").open("a", encoding="utf-8") as stream:
            stream.write(f"\n{tuned}\n{change}\n")
        port = free_port()
        options = ["-c", f"port={port}", "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]
        with _running([str(postgres), "-D", str(data), *options], lambda: postgres_answers(port)) as process:
            yield port, process


async def _ask_postgres(port: int) -> dict[str, float]:
    connection = await asyncpg.connect(host="127.0.0.1", port=port, user="postgres", database="postgres")
    try:
        await connection.execute("CREATE TABLE t (n int)")
        started = time.perf_counter()
        for number in range(COMMITS):
            await connection.execute("INSERT INTO t VALUES ($1)", number)
        commits = COMMITS / (time.perf_counter() - started)
        creations = []
        for number in range(5):
            started = time.perf_counter()
            await connection.execute(f"CREATE DATABASE d{number} TEMPLATE template0 STRATEGY FILE_COPY")
            creations.append((time.perf_counter() - started) * 1000)
        return {"create": median(creations), "commits": commits}
    finally:
        await connection.close()


def _redis(redis: Path, work: Path) -> str:
    def once(change: str) -> Callable[[], float]:
        return lambda: _redis_round(redis, work, change)["commands"]

    speed = interleaved({name: once(change) for name, change in REDIS_DEFAULTS.items()}, ROUNDS)
    memory = {name: _redis_round(redis, work, change)["pss"] for name, change in REDIS_DEFAULTS.items()}
    rows = [[name, f"{median(values):,.0f}", f"{memory[name]:.1f}"] for name, values in speed.items()]
    head = f"{COMMANDS:,} SETs in pipelines of 100; {ROUNDS} rounds, interleaved, {machine()}.\n\n"
    return head + table(["", "SETs a second", "PSS MiB, idle"], rows)


def _redis_round(redis: Path, work: Path, change: str) -> dict[str, float]:
    with tempfile.TemporaryDirectory(dir=work) as directory:
        Path(directory).chmod(0o777)
        port = free_port()
        tuned = (ROOT / "images" / "redis" / "redis.test.conf").read_text("utf-8")
        configuration = Path(directory) / "redis.conf"
        configuration.write_text(f"{tuned}\nport {port}\nbind 127.0.0.1\ndir {directory}\n{change}\n", "utf-8")
        with _running([str(redis), str(configuration)], lambda: redis_answers(port)) as process:
            idle = _pss(process)
            return {"pss": idle, "commands": _redis_speed(port)}


def _redis_speed(port: int) -> float:
    import redis

    with redis.Redis(port=port) as client:
        started = time.perf_counter()
        for start in range(0, COMMANDS, 100):
            pipeline = client.pipeline(transaction=False)
            for number in range(start, start + 100):
                pipeline.set(f"key:{number}", "value")
            pipeline.execute()
        return COMMANDS / (time.perf_counter() - started)


@contextmanager
def _running(command: list[str], answers: Callable[[], bool]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        command, user=os_user_for_postgres(), cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        while not answers():
            if process.poll() is not None:
                raise RuntimeError(f"{command[0]} ended with {process.returncode}")
            time.sleep(0.005)
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()


def _pss(process: subprocess.Popen[bytes]) -> float:
    return memory_of([psutil.Process(process.pid)])[0]
