"""What the plugin costs: pytest's start with nothing to do, and trivial tests of every kind, in runs of pytest."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks.common import Section, interleaved, machine, median, table
from tests.native_stack import new_stack
from tests.plugin.harness import without_services

N = 200
STARTS = 15
ROUNDS = 3

_INI = "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n"
# Each is a body; the parameters are its fixtures. "empty" is what pytest and its event loop cost by themselves.
CASES: Mapping[str, tuple[str, str]] = {
    "empty": ("", "pass"),
    "real_postgres, 1 INSERT + 1 count": (
        "real_postgres",
        """
        await real_postgres.execute("INSERT INTO users (email) VALUES ('mine@example.com')")
        assert await real_postgres.fetchval("SELECT count(*) FROM users WHERE email = 'mine@example.com'") == 1
        """,
    ),
    "postgres_dsn, connect + 1 INSERT + 1 count": (
        "postgres_dsn",
        """
        connection = await asyncpg.connect(postgres_dsn)
        await connection.execute("INSERT INTO users (email) VALUES ('mine@example.com')")
        assert await connection.fetchval("SELECT count(*) FROM users WHERE email = 'mine@example.com'") == 1
        await connection.close()
        """,
    ),
    "real_redis, 1 INCR": ("real_redis", "assert await real_redis.incr('n') == 1"),
    "real_clickhouse, 1 SELECT": ("real_clickhouse", "assert await real_clickhouse.execute('SELECT 1') == [(1,)]"),
    "test_user": ("test_user", "pass"),
    "test_user … test_conversation": ("test_conversation", "pass"),
}
LOOPS = ("session", "function")


def pytest(directory: Path, environment: Mapping[str, str], *arguments: str) -> None:
    command = [sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:hypothesispytest"]
    done = subprocess.run(
        [*command, *arguments], cwd=directory, env=dict(environment), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def start(directory: Path, *arguments: str) -> float:
    """Processor seconds, which a busy machine distorts less than those on the wall."""
    before = processor_seconds()
    pytest(directory, without_services(os.environ), *arguments)
    return processor_seconds() - before


def starts(directory: Path) -> Section:
    directory.joinpath("pytest.ini").write_text(_INI)
    directory.joinpath("test_nothing.py").write_text("def test_nothing():\n    pass\n")
    found = interleaved(
        {
            "with the plugin, unused": lambda: start(directory),
            "without it": lambda: start(directory, "-p", "no:test_framework"),
        },
        STARTS,
    )
    used, without = (median(values) * 1000 for values in found.values())
    rows = [(name, f"{median(values) * 1000:.0f}") for name, values in found.items()]
    body = table(("pytest with one empty test", "processor ms"), [*rows, ("difference", f"{used - without:.0f}")])
    return Section("Plugin: pytest's start", f"{machine()}\n\n{STARTS} starts each, interleaved; medians.\n\n{body}")


def per_test(directory: Path, environment: Mapping[str, str], case: str, scope: str) -> float:
    """Milliseconds of wall per test in the steady state: from the first test's end to the last one's."""
    fixtures, body = CASES[case]
    directory.joinpath("pytest.ini").write_text(_INI + f"asyncio_default_test_loop_scope = {scope}\n")
    directory.joinpath("conftest.py").write_text(
        "import time\n\ndef pytest_runtest_logfinish():\n    print(time.perf_counter(), file=open('times', 'a'))\n"
    )
    arguments = ", ".join(name for name in (fixtures, "n") if name)
    lines = textwrap.indent(textwrap.dedent(body).strip(), "    ")
    head = f"import asyncpg, pytest\n\n@pytest.mark.parametrize('n', range({N + 1}))"
    directory.joinpath("test_it.py").write_text(f"{head}\nasync def test_it({arguments}):\n{lines}\n")
    directory.joinpath("times").unlink(missing_ok=True)
    pytest(directory, environment, "test_it.py")
    times = [float(line) for line in directory.joinpath("times").read_text().split()]
    return (times[-1] - times[0]) / N * 1000


def totals(directory: Path) -> Section:
    with new_stack(directory, seed=None) as stack:
        stack.up()
        names = ("TEST_STACK_NAME", "TEST_STATE_DIR", "HOME", "XDG_CACHE_HOME")
        environment = {**without_services(stack.environment), **{name: stack.variables[name] for name in names}}
        found = interleaved(
            {
                f"{case}|{scope}": lambda case=case, scope=scope: per_test(directory, environment, case, scope)  # type: ignore[misc]
                for case in CASES
                for scope in LOOPS
            },
            ROUNDS,
        )
    best = {name: median(values) for name, values in found.items()}
    rows = [
        (case, *(f"{best[f'{case}|{scope}'] - best[f'empty|{scope}']:.2f}" for scope in LOOPS))
        for case in CASES
        if case != "empty"
    ]
    empty = ", ".join(f"{best[f'empty|{scope}']:.2f} ms with a loop per {scope}" for scope in LOOPS)
    text = f"Wall per test over {N} tests in a row, less that of an empty one ({empty}); medians of {ROUNDS} runs."
    body = table(("fixture and what the test does", *(f"loop per {scope}, ms" for scope in LOOPS)), rows)
    return Section("Plugin: trivial tests", f"{machine()}\n\n{text}\n\n{body}")


def measure() -> Iterator[Section]:
    with tempfile.TemporaryDirectory() as name:
        yield starts(Path(name))
    with tempfile.TemporaryDirectory() as name:
        yield totals(Path(name))


if __name__ == "__main__":
    began = time.perf_counter()
    for section in measure():
        print(f"## {section.title}\n\n{section.body}\n")
    print(f"{time.perf_counter() - began:.0f} s")
