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
from test_framework.isolation.values import IsolationOptions
from tests.native_stack import NativeStack, new_stack
from tests.plugin.harness import without_services

TESTS = int(os.environ.get("SOAK_TESTS", "10000"))
WORKERS = 16
_SPARE = 2  # what a worker puts back beyond its share, for whoever comes
_PART = min(1000, TESTS)
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
# Of the process that reports.
_CLOCK = """
import os
import time

def pytest_runtest_logfinish():
    if "PYTEST_XDIST_WORKER" not in os.environ:
        print(time.time(), file=open("times", "a"))
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
    """What the servers have, looked at every few seconds."""

    def __init__(self, stack: NativeStack) -> None:
        self._stack = stack
        self._end = threading.Event()
        self.seen: list[tuple[float, float]] = []
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._end.wait(3.0):
            self.seen.append((time.time(), memory_of(self._stack)))

    def at(self, moment: float) -> float:
        """MiB of all servers, as near to ``moment`` as they were looked at."""
        return min(self.seen, key=lambda each: abs(each[0] - moment))[1] if self.seen else memory_of(self._stack)

    def stop(self) -> None:
        self._end.set()
        self._thread.join()


def soak(directory: Path, stack: NativeStack) -> Section:
    names = ("TEST_STACK_NAME", "TEST_STATE_DIR", "HOME", "XDG_CACHE_HOME")
    environment = {**without_services(stack.environment), **{name: stack.variables[name] for name in names}}
    directory.joinpath("pytest.ini").write_text(_INI)
    directory.joinpath("conftest.py").write_text(_CLOCK)
    directory.joinpath("test_mix.py").write_text(f"TESTS = {TESTS}\n{_MIX}")
    before = memory_of(stack)
    memory = Memory(stack)
    started = time.time()
    command = [
        sys.executable, "-P", "-m", "pytest", "-q", "-n", str(WORKERS), "-p", "no:cacheprovider",
        "-p", "no:hypothesispytest", "-p", "no:schemathesis", "--real-services", "--tb=short",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=False)
    seconds = time.time() - started
    memory.stop()
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr
    assert re.search(rf"{TESTS} passed", done.stdout), done.stdout[-2000:]
    left = stack.postgres("SELECT count(*) FROM pg_database WHERE datname LIKE 'apes%'")[0][0]
    most = (IsolationOptions().pool_target(WORKERS) + _SPARE) * WORKERS
    assert left <= most, f"{left} databases are left, the pools hold {most}"
    stack.ok("reap")
    times = [started, *map(float, directory.joinpath("times").read_text().split())]
    rows = [
        (f"{first + 1:,} to {first + _PART:,}", f"{times[first + _PART] - times[first]:.1f}",
         f"{memory.at(times[first + _PART]):.0f}")
        for first in range(0, TESTS - _PART + 1, _PART)
    ]  # fmt: skip
    after = memory_of(stack)
    text = (
        f"{machine()}. {TESTS:,} tests, {WORKERS} workers, all passed in {seconds:.0f} s:"
        f" {seconds / TESTS * 1000:.1f} s per 1,000 tests. Databases left: {left}, all of them ready for the next run"
        f" (the pools hold at most {most}). Servers (PSS, MiB): {before:.0f} before, {after:.0f} after."
    )
    return Section("Soak", f"{text}\n\n{table(('tests', 'seconds', 'servers at the end of these, PSS MiB'), rows)}")


def measure() -> Iterator[Section]:
    with (
        tempfile.TemporaryDirectory() as cache,
        tempfile.TemporaryDirectory() as name,
        new_stack(Path(cache), seed=None) as stack,
    ):
        stack.up()
        yield soak(Path(name), stack)
