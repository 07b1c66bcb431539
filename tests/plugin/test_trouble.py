"""Workers and servers that die during a run, and what stays of failed tests on demand."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.native_stack import NativeStack, new_stack
from tests.plugin.harness import Project, Result, without_services
from tests.plugin.proxy import Door, door_to


def nothing_is_held(stack: NativeStack) -> None:
    """The books hold nothing but what is ready for the next run, and every database of ours is in the books."""
    rows = control(stack, "SELECT service, name, state FROM isolation.namespaces WHERE service <> 'redis'")
    assert {state for _, _, state in rows} <= {"ready"}, rows
    ready = {str(name) for service, name, _ in rows if service == "postgres"}
    assert {
        name for (name,) in stack.postgres("SELECT datname FROM pg_database WHERE datname ~ '^apes_test_'")
    } == ready


def control(stack: NativeStack, sql: str) -> list[tuple[object, ...]]:
    import asyncio

    from test_framework.services.postgres.client import CONTROL_DATABASE, connect

    async def ask() -> list[tuple[object, ...]]:
        async with connect(stack.state.endpoints.postgres, database=CONTROL_DATABASE, timeout=10) as connection:
            return [tuple(row) for row in await connection.fetch(sql)]

    return asyncio.run(ask())


TESTS = """
    import os
    import signal

    import pytest

    @pytest.fixture
    def deadly(request, real_postgres, real_redis, test_user):
        if request.node.callspec.params["n"] == 5:
            os.kill(os.getpid(), signal.SIGKILL)
        yield
        if request.node.callspec.params["n"] == 8:
            os.kill(os.getpid(), signal.SIGKILL)

    @pytest.mark.parametrize("n", range(12))
    async def test_a(n, deadly, real_postgres, real_redis, real_clickhouse, test_user):
        assert await real_redis.dbsize() == 0
        await real_redis.set("k", "v")
        assert await real_postgres.fetchval("SELECT count(*) FROM users") == 61
        await real_clickhouse.execute("INSERT INTO user_events (event_type) VALUES ('mine')")
        if n == 3:
            os.kill(os.getpid(), signal.SIGKILL)

    @pytest.mark.parametrize("n", range(6))
    def test_b(n, postgres_dsn):
        pass
    """


def test_a_worker_killed_in_setup_call_or_teardown_costs_its_test_and_nothing_else(
    project: Project, stack: NativeStack
) -> None:
    result = project.write(test_a=TESTS).run("-n", "2", "--real-services")
    counts = result.counts()
    assert counts["failed"] == 3, result.text  # the one killed in its teardown had passed
    assert counts["passed"] in (15, 16), result.text
    assert result.status == pytest.ExitCode.TESTS_FAILED
    assert len(result.lines("crashed while running")) >= 3
    assert "ended unexpectedly; " in result.text
    assert "namespaces were reclaimed" in result.text
    nothing_is_held(stack)


def test_what_a_run_held_whose_controller_was_killed_is_reclaimed_by_the_next(
    project: Project, stack: NativeStack, tmp_path: Path
) -> None:
    project.write(
        test_a="""
        from pathlib import Path
        import time

        def test_a(postgres_dsn, redis_url, clickhouse_url):
            Path("begun").touch()
            time.sleep(60)
        """
    )
    process = project.start("-q", "-n", "2")
    while not (tmp_path / "begun").exists():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)
    family = psutil.Process(process.pid).children(recursive=True)
    process.kill()  # the controller: its workers find that out, and end without a word
    _, alive = psutil.wait_procs(family, timeout=60)
    assert not alive
    process.communicate()
    project.write(test_a="def test_a(postgres_dsn, redis_url, clickhouse_url): pass").run("-q").passes(passed=1)
    stack.ok("reap")  # the next run may itself have ended while it was preparing a database
    nothing_is_held(stack)


SLEEPS = """
    from pathlib import Path
    import time

    import pytest

    @pytest.fixture
    def slow(postgres_dsn, redis_url, clickhouse_url, real_postgres):
        Path("begun").touch()
        time.sleep(60)

    def test_a(slow):
        pass
    """


@pytest.mark.parametrize("times", [1, 2])
def test_an_interrupted_run_ends_without_a_word_of_ours_and_leaves_nothing_for_long(
    project: Project, stack: NativeStack, tmp_path: Path, times: int
) -> None:
    # What a second Ctrl-C leaves half closed is garbage, of which pytest would make an error of its own.
    process = project.write(test_a=SLEEPS).start("-q", "-W", "default::pytest.PytestUnraisableExceptionWarning")
    while not (tmp_path / "begun").exists():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.02)
    for _ in range(times):
        process.send_signal(signal.SIGINT)
        time.sleep(0.15)
    result = project.finish(process)
    assert result.status in (pytest.ExitCode.INTERRUPTED, -signal.SIGINT, 128 + signal.SIGINT), result.text
    raised = [line for line in result.text.splitlines() if line.strip().startswith('File "')][-1:]
    assert not [line for line in raised if "test_framework/" in line], result.text
    if times > 1:
        stack.ok("reap")
    nothing_is_held(stack)


def test_a_worker_that_stands_still_keeps_what_it_owns_and_goes_on(
    project: Project, stack: NativeStack, tmp_path: Path
) -> None:
    project.write(
        test_a="""
        import os
        import time
        from pathlib import Path

        import psycopg

        async def test_a(postgres_dsn, real_redis):
            await real_redis.set("mine", "1")
            with psycopg.connect(postgres_dsn) as connection:
                connection.execute("INSERT INTO users (email) VALUES ('mine@example.com')")
            Path("pid").write_text(str(os.getpid()))
            while not Path("go").exists():
                time.sleep(0.02)
            with psycopg.connect(postgres_dsn) as connection:
                assert connection.execute("SELECT count(*) FROM users").fetchone() == (61,)
            assert await real_redis.get("mine") == "1"
        """
    )
    process = project.start("-q", "-n", "1")
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.02)
    worker = int((tmp_path / "pid").read_text())
    os.kill(worker, signal.SIGSTOP)
    assert "0 dead sessions, 0 namespaces reclaimed" in stack.ok("reap")
    (tmp_path / "go").touch()
    os.kill(worker, signal.SIGCONT)
    project.finish(process).passes(passed=1)
    nothing_is_held(stack)


def test_a_test_that_runs_out_of_time_in_a_statement_leaves_the_next_one_clean(
    project: Project, stack: NativeStack
) -> None:
    project.write(
        test_a="""
        import pytest

        @pytest.mark.timeout(0.5, method="signal", func_only=True)
        async def test_a(real_postgres, real_redis):
            await real_redis.set("k", "v")
            await real_postgres.execute("INSERT INTO users (email) VALUES ('mine@example.com')")
            await real_postgres.execute("SELECT pg_sleep(60)")

        @pytest.mark.timeout(0.5, method="signal", func_only=True)
        def test_b(test_isolation):
            test_isolation.require("postgres")
            test_isolation.holdings.run(lambda it: it.execute("SELECT pg_sleep(60)"))

        async def test_c(real_postgres, real_redis):
            assert await real_postgres.fetchval("SELECT count(*) FROM users") == 60
            assert await real_redis.dbsize() == 0
        """
    )
    result = project.run("-q", "-p", "no:randomly")
    result.passes(passed=1, failed=2)
    assert "Timeout" in result.text
    nothing_is_held(stack)


KEEPS = """
    import pytest

    async def test_fails(real_postgres, real_redis, real_clickhouse):
        await real_postgres.execute("INSERT INTO users (email) VALUES ('kept@example.com')")
        await real_redis.set("k", "kept")
        await real_clickhouse.execute("CREATE TABLE kept (n Int32) ENGINE = Memory")
        assert False

    def test_fails_too(postgres_dsn):
        import psycopg

        with psycopg.connect(postgres_dsn) as connection:
            connection.execute("INSERT INTO users (email) VALUES ('kept@example.com')")
        assert False

    def test_passes(postgres_dsn):
        pass

    async def test_is_clean(real_postgres, real_redis):
        assert await real_postgres.fetchval("SELECT count(*) FROM users") == 60
        assert await real_redis.dbsize() == 0
    """


def connect_lines(result: Result) -> dict[str, list[str]]:
    lines: dict[str, list[str]] = {"psql": [], "redis-cli": [], "curl": []}
    for line in result.text.partition(" kept for you ")[2].splitlines():
        for program, found in lines.items():
            if f"{program} " in line and line.startswith("  "):
                found.append(line.strip())
    return lines


def shell(line: str, stack: NativeStack, project: Project) -> str:
    """Type ``line`` in a shell that has the stack's variables."""
    variables = {name: stack.variables[name] for name in stack.variables if name.endswith("_PASSWORD")}
    done = subprocess.run(
        ["bash", "-c", line], env={**project.environment, **variables}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
    return done.stdout.strip()


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_failed_test_keeps_what_it_owned_and_the_lines_lead_there(
    project: Project, stack: NativeStack, workers: str
) -> None:
    result = project.write(test_a=KEEPS).run("--keep-failed=5", "-n", workers)
    result.passes(passed=2, failed=2)
    lines = connect_lines(result)
    assert {program: len(found) for program, found in lines.items()} == {"psql": 2, "redis-cli": 1, "curl": 1}
    for line in lines["psql"]:
        query = "SELECT count(*) FROM users WHERE email = 'kept@example.com'"
        assert shell(f"{line} -Atc {shlex.quote(query)}", stack, project) == "1"
    assert shell(f"{lines['redis-cli'][0]} --no-auth-warning GET k", stack, project) == "kept"
    assert "kept" in shell(lines["curl"][0], stack, project)
    assert stack.variables["TEST_POSTGRES_PASSWORD"] not in result.text
    stack.ok("reap", "--kept")
    nothing_is_held(stack)


def test_no_more_tests_than_said_keep_something(project: Project, stack: NativeStack) -> None:
    result = project.write(test_a=KEEPS).run("--keep-failed=1")
    assert sum(map(len, connect_lines(result).values())) == 3
    stack.ok("reap", "--kept")


def test_without_the_option_nothing_stays(project: Project, stack: NativeStack) -> None:
    result = project.write(test_a=KEEPS).run()
    assert "kept for you" not in result.text
    nothing_is_held(stack)


def lose(door: Door, how: str) -> str:
    return f"os.kill({door.pid}, signal.{how})"


@contextlib.contextmanager
def behind_a_door(project: Project, stack: NativeStack, service: str, variable: str) -> Iterator[Door]:
    """The project reaches ``service`` through a door."""
    with door_to(getattr(stack.state.endpoints, service).port) as door:
        project.environment[variable] = str(door.port)
        yield door


@pytest.fixture
def redis_door(stack: NativeStack, project: Project) -> Iterator[Door]:
    with behind_a_door(project, stack, "redis", "TEST_REDIS_PORT") as door:
        yield door


@pytest.fixture
def clickhouse_door(stack: NativeStack, project: Project) -> Iterator[Door]:
    with behind_a_door(project, stack, "clickhouse", "TEST_CLICKHOUSE_HTTP_PORT") as door:
        yield door


@pytest.fixture
def postgres_door(stack: NativeStack, project: Project) -> Iterator[Door]:
    with behind_a_door(project, stack, "postgres", "TEST_POSTGRES_PORT") as door:
        yield door


def test_a_lost_redis_or_clickhouse_fails_its_users_as_stack_trouble_and_nobody_else(
    project: Project, redis_door: Door, clickhouse_door: Door
) -> None:
    project.write(
        test_a=f"""
        import os
        import signal

        async def test_a_uses_redis(real_redis):
            await real_redis.set("k", "v")
            {lose(redis_door, "SIGKILL")}
            await real_redis.get("k")

        async def test_b_uses_redis(real_redis):
            await real_redis.get("k")

        async def test_c_uses_clickhouse(real_clickhouse):
            await real_clickhouse.execute("SELECT 1")
            {lose(clickhouse_door, "SIGKILL")}
            await real_clickhouse.execute("SELECT 1")

        def test_d_uses_clickhouse(clickhouse_url):
            pass

        async def test_e_uses_neither(real_postgres):
            assert await real_postgres.fetchval("SELECT 1") == 1
        """
    )
    result = project.run("-rA")
    result.passes(passed=1, failed=2, error=2)
    assert result.status == 14
    for service, tests in (("redis", "ab"), ("clickhouse", "cd")):
        assert f"{service} was lost during the run" in result.text
        for test in tests:
            assert result.outcomes[f"test_{test}_uses_{service}"].properties == {"stack_trouble": f"test-{service}"}
    assert "last log lines of test-redis" in result.text
    assert result.outcomes["test_e_uses_neither"].properties == {}
    assert "4 tests ended by trouble with the stack; no test failed by itself" in result.text


IMPATIENT = {"TEST_QUERY_TIMEOUT": "1", "TEST_CONNECTION_TIMEOUT": "1"}


def test_failures_of_the_tests_own_keep_the_usual_exit_status(project: Project, clickhouse_door: Door) -> None:
    project.write(
        test_a=f"""
        import os
        import signal

        async def test_a(real_clickhouse):
            await real_clickhouse.execute("SELECT 1")
            {lose(clickhouse_door, "SIGSTOP")}
            await real_clickhouse.execute("SELECT 1")

        def test_b():
            assert False
        """
    )
    result = project.run("-n", "2", "--dist", "loadfile", **IMPATIENT)
    result.passes(failed=2)
    assert "accepts connections and does not answer" in result.text
    assert result.status == pytest.ExitCode.TESTS_FAILED
    assert "1 tests ended by trouble with the stack; 1 other failures are the tests' own" in result.text


AWAY = """
    import os
    import signal

    import pytest

    async def test_a(real_postgres):
        await real_postgres.execute("SELECT 1")
        {kill}
        await real_postgres.execute("SELECT pg_sleep(30)")

    @pytest.mark.parametrize("n", range(3))
    async def test_b(real_postgres, n):
        assert await real_postgres.fetchval("SELECT count(*) FROM users") == 60

    def test_c(postgres_dsn, redis_url):
        pass
    """


def test_a_postgres_that_comes_back_costs_one_test(project: Project, postgres_door: Door) -> None:
    result = project.write(test_a=AWAY.format(kill=lose(postgres_door, "SIGUSR1"))).run("-rA")
    result.passes(passed=4, failed=1)
    assert result.status == 14
    assert "was away for a moment during this test" in result.text
    assert result.outcomes["test_a"].properties == {"stack_trouble": "test-postgres"}


WOUNDED = """
    import os
    import signal

    import asyncpg
    import psycopg

    async def test_a_kills_the_server(real_postgres):
        await real_postgres.execute("SELECT 1")
        os.kill({postmaster}, signal.SIGKILL)
        await real_postgres.execute("SELECT pg_sleep(30)")

    async def test_b_is_clean(real_postgres, redis_url):
        assert await real_postgres.fetchval("SELECT count(*) FROM users") == 60

    def test_c_kills_a_session(postgres_dsn):
        with psycopg.connect(postgres_dsn) as connection:
            os.kill(connection.info.backend_pid, signal.SIGKILL)
            connection.execute("SELECT pg_sleep(30)")

    async def test_d_is_clean(real_postgres, postgres_dsn):
        assert await real_postgres.fetchval("SELECT count(*) FROM users") == 60

    async def test_e_hoards(postgres_dsn):
        hoard = []
        while True:
            hoard.append(await asyncpg.connect(postgres_dsn, server_settings={{"application_name": "greedy"}}))

    def test_f_hoards(postgres_dsn):
        hoard = []
        while True:
            hoard.append(psycopg.connect(postgres_dsn, application_name="greedy"))

    async def test_g_is_clean(real_postgres, postgres_dsn):
        assert await real_postgres.fetchval("SELECT count(*) FROM users") == 60
    """


@pytest.fixture(scope="module")
def wounded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Result]:
    """A run on a stack of its own, whose tests do to PostgreSQL what no shared one would bear."""
    with new_stack(tmp_path_factory.mktemp("cache"), seed=None) as stack:
        stack.override("services: {test-postgres: {environment: {POSTGRES_MAX_CONNECTIONS: 30}}}\n")
        stack.up()
        names = ("TEST_STACK_NAME", "TEST_STATE_DIR", "HOME", "XDG_CACHE_HOME")
        variables = {name: stack.variables[name] for name in names}
        project = Project(tmp_path_factory.mktemp("wounded"), {**without_services(stack.environment), **variables})
        postmaster = stack.server("test-postgres").pid
        yield project.write(test_a=WOUNDED.format(postmaster=postmaster)).run("-rA", "-W", "default")


def told(result: Result, test: str) -> str:
    """What the section of one failed test says."""
    return result.text.split(f"_ {test} _", 1)[1].split("\n____", 1)[0]


@pytest.mark.parametrize("test", ["test_a_kills_the_server", "test_c_kills_a_session"])
def test_a_postgres_that_crashed_costs_the_test_that_met_it(wounded: Result, test: str) -> None:
    assert wounded.status == 14, wounded.text
    assert wounded.outcomes[test].properties == {"stack_trouble": "test-postgres"}
    assert "was away for a moment during this test" in told(wounded, test)


@pytest.mark.parametrize("test", ["test_e_hoards", "test_f_hoards"])
def test_who_meets_a_postgres_without_connections_is_told_who_holds_them(wounded: Result, test: str) -> None:
    assert wounded.outcomes[test].properties == {"stack_trouble": "test-postgres"}
    report = told(wounded, test)
    assert "postgres has no connection left" in report
    assert re.search(r"greedy in apes_test_master_\w+: 2\d", report), report
    assert "POSTGRES_MAX_CONNECTIONS" in report


@pytest.mark.parametrize("test", ["test_b_is_clean", "test_d_is_clean", "test_g_is_clean"])
def test_whatever_was_done_to_postgres_the_next_test_is_served(wounded: Result, test: str) -> None:
    assert wounded.outcomes[test].kind == "passed", wounded.text


@pytest.mark.parametrize(("workers", "how"), [("0", "SIGSTOP"), ("2", "SIGKILL")])
def test_a_lost_postgres_ends_the_run_at_once(project: Project, postgres_door: Door, workers: str, how: str) -> None:
    project.write(
        test_a=f"""
        import os
        import signal

        import pytest

        async def test_a(real_postgres):
            await real_postgres.execute("SELECT 1")
            {lose(postgres_door, how)}
            await real_postgres.execute("SELECT 1")

        @pytest.mark.parametrize("n", range(100))
        async def test_b(real_postgres, n):
            await real_postgres.execute("SELECT 1")
            await real_postgres.execute("SELECT pg_sleep(0.1)")
        """
    )
    result = project.run("-n", workers, **IMPATIENT)
    assert result.status == 14, result.text
    assert "postgres was lost during the run" in result.text
    assert how == "SIGKILL" or "accepts connections and does not answer" in result.text
    assert "the stack is lost" in result.text
    counts = result.counts()
    assert counts.get("failed", 0) + counts.get("error", 0) <= 2, result.text
