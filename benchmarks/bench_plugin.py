"""What the plugin costs: pytest's start with nothing to do, and trivial tests of every kind, in runs of pytest."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from benchmarks.common import Section, interleaved, machine, median, table
from tests.native_stack import NativeStack, new_stack
from tests.plugin.harness import without_services

N = 200
STARTS = 15
ROUNDS = 2

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
_BOTH = "INSERT INTO users (email) VALUES ('mine@example.com')", "SELECT count(*) FROM users WHERE email LIKE 'mine%'"
# What people do today, on the same tuned server. {dsn} and {template} are those of the stack.
PEERS: Mapping[str, tuple[str, str]] = {
    "by hand: rollback on one psycopg connection": (
        """
        @pytest.fixture(scope="session")
        def kept():
            with psycopg.connect("{dsn}") as connection:
                yield connection

        @pytest.fixture
        def connection(kept):
            yield kept
            kept.rollback()
        """,
        "",
    ),
    "by hand: CREATE DATABASE … TEMPLATE, connect, DROP": (
        """
        @pytest.fixture(scope="session")
        def admin():
            with psycopg.connect("{admin}", autocommit=True) as connection:
                yield connection

        @pytest.fixture
        def connection(admin, n):
            name = f"by_hand_{{os.getpid()}}_{{n}}"
            admin.execute(f"CREATE DATABASE {{name}} TEMPLATE {template}")
            with psycopg.connect("{dsn}", dbname=name, options="-c search_path=auth,backend,public") as connection:
                yield connection
            admin.execute(f"DROP DATABASE {{name}} WITH (FORCE)")
        """,
        "",
    ),
    "pytest-postgresql, noproc": (
        """
        from pytest_postgresql import factories

        def load(host, port, user, dbname, password, **_):
            with psycopg.connect(host=host, port=port, user=user, dbname=dbname, password=password) as connection:
                connection.execute("CREATE TABLE users (id int GENERATED ALWAYS AS IDENTITY, email text UNIQUE)")
                for n in range(20):
                    connection.execute(f"CREATE TABLE t{{n}} (id int PRIMARY KEY, v text UNIQUE)")

        server = factories.postgresql_noproc(
            host="{host}", port={port}, user="{user}", password="{password}", dbname=f"peer_{{os.getpid()}}",
            load=[load],
        )
        connection = factories.postgresql("server")
        """,
        "pytest-postgresql",
    ),
}


def pytest(directory: Path, environment: Mapping[str, str], *arguments: str, python: str = sys.executable) -> None:
    """With the plugins that a user would have, and none that merely happen to be installed here."""
    command = [python, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    if python == sys.executable:
        command += ["-p", "no:hypothesispytest", "-p", "no:schemathesis", "-p", "no:anyio"]
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


def python_with(package: str, directory: Path) -> str:
    """An interpreter that has ``package``: ours, or one of a virtual environment made for this run.

    Raises:
        RuntimeError: it cannot be installed here.
    """
    if not package:
        return sys.executable
    python = directory / "venv" / "bin" / "python"
    commands = ([sys.executable, "-m", "venv", str(directory / "venv")], [str(python), "-m", "pip", "install", "-q",
                package, "psycopg[binary]", "pytest", "pytest-xdist"])  # fmt: skip
    for command in commands if not python.exists() else commands[1:]:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(
                f"{package} cannot be installed: {(done.stderr or done.stdout).strip().splitlines()[-1]}"
            )
    return str(python)


def peer(directory: Path, stack: NativeStack, name: str, *arguments: str) -> float:
    """Milliseconds per test, as :func:`per_test`, of a peer's fixture that does the same."""
    code, package = PEERS[name]
    python = python_with(package, directory)
    endpoint = stack.state.endpoints.postgres
    ((template,),) = stack.postgres("SELECT datname FROM pg_database WHERE datname LIKE 'tf_template%'")
    place = directory / "peer"
    place.mkdir(exist_ok=True)
    values = {
        "dsn": endpoint.dsn, "admin": endpoint.dsn.replace(endpoint.database, "postgres"), "template": template,
        "host": endpoint.host, "port": endpoint.port, "user": endpoint.user, "password": endpoint.password.reveal(),
    }  # fmt: skip
    insert, count = _BOTH
    body = (
        f"import os, psycopg, pytest\n{textwrap.dedent(code).format(**values)}\n"
        f"@pytest.mark.parametrize('n', range({N + 1}))\n"
        f'def test_it(n, connection):\n    connection.execute("{insert}")\n'
        f'    assert connection.execute("{count}").fetchone() == (1,)\n'
    )
    place.joinpath("pytest.ini").write_text("[pytest]\n")
    place.joinpath("conftest.py").write_text(_CLOCK)
    place.joinpath("test_it.py").write_text(body)
    environment = {name: value for name, value in stack.environment.items() if not name.startswith("PYTHON")}
    place.joinpath("times").unlink(missing_ok=True)
    extra = () if package else ("-p", "no:test_framework")
    pytest(place, environment, "test_it.py", *extra, *arguments, python=python)
    return steady(place)


# Of the process that reports: workers finish their tests in any order.
_CLOCK = """
import os
import time

def pytest_runtest_logfinish():
    if "PYTEST_XDIST_WORKER" not in os.environ:
        print(time.perf_counter(), file=open("times", "a"))
"""


def steady(directory: Path) -> float:
    """Milliseconds from one test's end to the next one's, over the last nine tenths of a run."""
    times = [float(line) for line in directory.joinpath("times").read_text().split()]
    late = times[len(times) // 10 :]
    return (late[-1] - late[0]) / (len(late) - 1) * 1000


def per_test(directory: Path, environment: Mapping[str, str], case: str, scope: str, *arguments: str) -> float:
    """Milliseconds of wall per test in the steady state."""
    fixtures, body = CASES[case]
    directory.joinpath("pytest.ini").write_text(_INI + f"asyncio_default_test_loop_scope = {scope}\n")
    directory.joinpath("conftest.py").write_text(_CLOCK)
    parameters = ", ".join(name for name in (fixtures, "n") if name)
    lines = textwrap.indent(textwrap.dedent(body).strip(), "    ")
    head = f"import asyncpg, pytest\n\n@pytest.mark.parametrize('n', range({N + 1}))"
    directory.joinpath("test_it.py").write_text(f"{head}\nasync def test_it({parameters}):\n{lines}\n")
    directory.joinpath("times").unlink(missing_ok=True)
    pytest(directory, environment, "test_it.py", *arguments)
    return steady(directory)


@contextlib.contextmanager
def seeded(directory: Path) -> Iterator[tuple[NativeStack, dict[str, str]]]:
    with new_stack(directory, seed=None) as stack:
        stack.up()
        names = ("TEST_STACK_NAME", "TEST_STATE_DIR", "HOME", "XDG_CACHE_HOME")
        yield stack, {**without_services(stack.environment), **{name: stack.variables[name] for name in names}}


def totals(directory: Path) -> Section:
    with seeded(directory) as (_, environment):
        found = interleaved(
            {
                f"{case}|{scope}": lambda case=case, scope=scope: per_test(directory, environment, case, scope)  # type: ignore[misc]
                for case in CASES
                for scope in LOOPS
            },
            ROUNDS,
        )
    best = {name: min(values) for name, values in found.items()}
    rows = [
        (case, *(f"{best[f'{case}|{scope}'] - best[f'empty|{scope}']:.2f}" for scope in LOOPS))
        for case in CASES
        if case != "empty"
    ]
    empty = ", ".join(f"{best[f'empty|{scope}']:.2f} ms with a loop per {scope}" for scope in LOOPS)
    text = f"Wall per test over {N} tests in a row, less that of an empty one ({empty}); the faster of {ROUNDS} runs."
    body = table(("fixture and what the test does", *(f"loop per {scope}, ms" for scope in LOOPS)), rows)
    return Section("Plugin: trivial tests", f"{machine()}\n\n{text}\n\n{body}")


_COMPARED = ("real_postgres, 1 INSERT + 1 count", "postgres_dsn, connect + 1 INSERT + 1 count")


def compared(directory: Path) -> Section:
    """Ours and the peers by turns on one server, with one worker and with two."""
    reasons = ["testcontainers: a container per test or worker is another order of magnitude, and needs an engine"]
    with seeded(directory) as (stack, environment):
        actions: dict[str, Callable[[], float]] = {}
        peers = dict(PEERS)
        try:
            python_with("pytest-postgresql", directory)
        except RuntimeError as error:
            reasons.append(str(error))
            peers.pop("pytest-postgresql, noproc")
        for workers in ("0", "2"):
            for case in ("empty", *_COMPARED):
                actions[f"{case}|{workers}"] = lambda case=case, workers=workers: per_test(  # type: ignore[misc]
                    directory, environment, case, "session", "-n", workers
                )
            for name in peers:
                actions[f"{name}|{workers}"] = lambda name=name, workers=workers: peer(  # type: ignore[misc]
                    directory, stack, name, "-n", workers
                )
        found = {name: min(values) for name, values in interleaved(actions, ROUNDS).items()}
    rows = [
        (name, *(f"{found[f'{name}|{workers}'] - found[f'empty|{workers}']:.2f}" for workers in ("0", "2")))
        for name in (*_COMPARED, *peers)
    ]
    text = f"One INSERT and one count each; wall per test less an empty one's, the faster of {ROUNDS} runs by turns."
    body = table(("", "one worker, ms", "-n 2, ms"), rows)
    left = "\n".join(f"- not measured: {reason}" for reason in reasons)
    return Section("Plugin: beside its peers", f"{machine()}\n\n{text}\n\n{body}\n\n{left}")


def measure() -> Iterator[Section]:
    for part in (starts, totals, compared):
        with tempfile.TemporaryDirectory() as name:
            yield part(Path(name))


if __name__ == "__main__":
    wanted = {"starts": starts, "totals": totals, "compared": compared}
    for chosen in sys.argv[1:] or wanted:
        with tempfile.TemporaryDirectory() as place:
            section = wanted[chosen](Path(place))
        print(f"## {section.title}\n\n{section.body}\n", flush=True)
