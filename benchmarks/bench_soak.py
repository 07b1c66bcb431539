"""Ten thousand tests with sixteen workers on one stack: nothing fails, nothing stays, and the servers do not grow."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from benchmarks.common import Section, machine, table
from tests.native_stack import NativeStack, new_stack
from tests.plugin.harness import without_services

TESTS = int(os.environ.get("SOAK_TESTS", "10000"))
WORKERS = 16
_PARTS = 10
_MIX = """
import psycopg
import pytest

KINDS = ["transaction"] * 10 + ["redis"] * 5 + ["database"] * 3 + ["changed"] + ["clickhouse"]


def pytest_generate_tests(metafunc):
    if "kind" in metafunc.fixturenames:
        metafunc.parametrize("n, kind", [(n, KINDS[n % len(KINDS)]) for n in range(TESTS)])


async def test_it(n, kind, request):
    give = request.getfixturevalue
    if kind == "transaction":
        connection = give("real_postgres")
        await connection.execute("INSERT INTO users (email) VALUES ('mine@example.com')")
        assert await connection.fetchval("SELECT count(*) FROM users") == 61
    elif kind == "redis":
        assert await give("real_redis").incr("n") == 1
    elif kind in ("database", "changed"):
        with psycopg.connect(give("postgres_dsn")) as connection:
            assert connection.execute("SELECT count(*) FROM users").fetchone() == (60,)
            connection.execute("INSERT INTO users (email) VALUES ('mine@example.com')")
            if kind == "changed":
                connection.execute("UPDATE users SET name = 'changed'")
    else:
        client = give("real_clickhouse")
        assert await client.execute("SELECT count() FROM user_events") == [(120000,)]
        if n % 3 == 0:
            await client.execute("INSERT INTO user_events (event_type) VALUES ('mine')")
"""
_INI = "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n"


def memory_of(stack: NativeStack) -> float:
    """MiB of all servers of ``stack``; pages that they share are split."""
    total = 0
    for process in stack.processes():
        with contextlib.suppress(psutil.Error):
            total += process.memory_full_info().pss
    return total / 1024**2


class Memory:
    """What the servers have, looked at every second."""

    def __init__(self, stack: NativeStack) -> None:
        self._stack = stack
        self._end = threading.Event()
        self.seen: list[tuple[float, float]] = []
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        started = time.monotonic()
        while not self._end.wait(2.0):
            self.seen.append((time.monotonic() - started, self.now()))

    def now(self) -> float:
        """MiB of all servers."""
        return memory_of(self._stack)

    def stop(self) -> None:
        self._end.set()
        self._thread.join()


def soak(directory: Path, stack: NativeStack) -> Section:
    names = ("TEST_STACK_NAME", "TEST_STATE_DIR", "HOME", "XDG_CACHE_HOME")
    environment = {**without_services(stack.environment), **{name: stack.variables[name] for name in names}}
    directory.joinpath("pytest.ini").write_text(_INI)
    directory.joinpath("test_mix.py").write_text(f"TESTS = {TESTS}\n{_MIX}")
    before = memory_of(stack)
    memory = Memory(stack)
    started = time.perf_counter()
    command = [
        sys.executable, "-P", "-m", "pytest", "-q", "-n", str(WORKERS), "-p", "no:cacheprovider",
        "-p", "no:hypothesispytest", "-p", "no:schemathesis", "--real-services", "--tb=short",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - started
    memory.stop()
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr
    assert re.search(rf"{TESTS} passed", done.stdout), done.stdout[-2000:]
    left = stack.postgres("SELECT count(*) FROM pg_database WHERE datname LIKE 'apes%'")[0][0]
    stack.ok("reap")
    rows = [
        (f"{part * 100 // _PARTS} %", f"{memory.seen[index][1]:.0f}")
        for part in range(1, _PARTS + 1)
        if memory.seen
        for index in [min(len(memory.seen) - 1, part * len(memory.seen) // _PARTS)]
    ]
    after = memory_of(stack)
    text = (
        f"{machine()}. {TESTS} tests, {WORKERS} workers, all passed in {seconds:.0f} s:"
        f" {seconds / TESTS * 1000:.1f} s per 1,000 tests. Ready databases left for the next run: {left}."
        f" Servers (PSS, MiB): {before:.0f} before, {after:.0f} after."
    )
    return Section("Soak", f"{text}\n\n{table(('of the run', 'servers, PSS MiB'), rows)}")


def measure() -> Iterator[Section]:
    with (
        tempfile.TemporaryDirectory() as cache,
        tempfile.TemporaryDirectory() as name,
        new_stack(Path(cache), seed=None) as stack,
    ):
        stack.up()
        yield soak(Path(name), stack)
