"""When a test that needs a service runs, is skipped or is an error, and what is said then."""

from __future__ import annotations

import pytest

from tests.plugin.harness import Project

TESTS = """
    import pytest

    def test_by_fixture(real_postgres):
        pass

    @pytest.mark.requires_redis
    def test_by_marker():
        pass

    def test_data(test_user):
        pass

    def test_needs_nothing():
        pass
    """
SKIPPED = {"passed": 1, "skipped": 3}
ERRORS = {"passed": 1, "error": 3}


@pytest.mark.parametrize(
    ("arguments", "variables", "ini", "expected"),
    [
        ((), {}, (), SKIPPED),
        ((), {"CI": "woodpecker"}, (), ERRORS),
        ((), {"CI": "false"}, (), SKIPPED),
        (("--real-services",), {"USE_REAL_SERVICES": "false"}, (), ERRORS),
        (("--no-real-services",), {"CI": "true"}, (), SKIPPED),
        ((), {"USE_REAL_SERVICES": "false"}, ("real_services = true",), SKIPPED),
        (("-n", "2"), {"CI": "true"}, ("real_services = auto",), ERRORS),
    ],
)
def test_without_a_stack(
    lonely_project: Project, arguments: tuple[str, ...], variables: dict[str, str], ini: tuple[str, ...],
    expected: dict[str, int],
) -> None:  # fmt: skip
    result = lonely_project.ini(*ini).write(test_a=TESTS).run(*arguments, **variables)
    result.passes(**expected)
    assert result.status == (14 if expected is ERRORS else 0)


def test_a_skip_names_the_remedy_and_the_summary_counts_it(lonely_project: Project) -> None:
    result = lonely_project.write(test_a=TESTS).run("-rs")
    assert result.lines("make test-up")
    summary = result.text.partition("skipped for want of a service")[2]
    assert "2 tests: postgres at localhost:1 cannot be reached" in summary
    assert "1 tests: redis at localhost:1 cannot be reached" in summary
    assert "cannot be reached" in result.outcomes["test_by_marker"].message


def test_the_summary_counts_the_skips_of_all_workers(lonely_project: Project) -> None:
    result = lonely_project.write(test_a=TESTS).run("-n", "2")
    assert "2 tests: postgres at localhost:1 cannot be reached" in result.text


def test_a_switch_is_named_by_the_skips_it_causes(lonely_project: Project) -> None:
    result = lonely_project.write(test_a=TESTS).run(USE_REAL_SERVICES="false")
    assert "3 tests: real services are switched off by USE_REAL_SERVICES=false" in result.text


def test_an_error_says_who_requires_the_service_where_it_was_looked_for_and_the_remedy(lonely_project: Project) -> None:
    result = lonely_project.write(test_a=TESTS).run("--real-services")
    for part in ("postgres at localhost:1 cannot be reached", "--real-services", "make test-up"):
        assert part in result.text
    assert "no test failed by itself" in result.text


def test_a_wrong_password_is_an_error_even_where_nothing_is_required(project: Project) -> None:
    result = project.write(test_a=TESTS).run(TEST_POSTGRES_PASSWORD="wrong-canary-0815")
    result.passes(passed=2, error=2)
    assert result.status == 14
    assert "postgres at 127.0.0.1" in result.text
    assert "refuses the credentials" in result.text
    assert "TEST_*_PASSWORD" in result.text
    assert "wrong-canary-0815" not in result.text
    assert "wrong-canary-0815" not in project.junit.read_text()


def test_a_running_stack_is_used_without_being_asked_for(project: Project) -> None:
    result = project.write(test_a=TESTS).run()
    result.passes(passed=4)
    assert "native stack tfn-" in result.text
    assert "postgres 15." in result.text


def test_a_run_that_needs_no_service_opens_no_connection(project: Project) -> None:
    project.write(
        conftest="""
        import socket, sys

        def refuse(*arguments, **options):
            raise AssertionError("somebody opened a socket")

        def pytest_configure():
            socket.socket.connect = socket.create_connection = refuse
        """,
        test_a="""
        import sys
        import threading

        DRIVERS = {"asyncpg", "redis", "clickhouse_connect", "aiohttp", "yaml", "jwt", "tenacity"}

        def test_a():
            assert not DRIVERS & set(sys.modules)
            assert [thread.name for thread in threading.enumerate()] == ["MainThread"]
        """,
    )
    project.run("--real-services", "-p", "no:hypothesispytest").passes(passed=1)


@pytest.mark.parametrize(
    ("ini", "message"),
    [
        ("real_services = maybe", "real_services = 'maybe' is not true, false or auto"),
        ("keep_failed = many", "keep_failed = 'many' is not a number"),
        ("postgres_isolation = schema", "postgres_isolation = 'schema' is not transaction or database"),
        ("postgres_savepoints = 1", "postgres_savepoints = '1' is not true or false"),
        ("lease_timeout = never", "lease_timeout = 'never' is not a positive number of seconds"),
        ("database_prefix = pg_mine", "'pg_mine' cannot be the prefix of test databases"),
        ("real_services_env = MY_URL", "real_services_env holds 'MY_URL'"),
    ],
)
def test_an_impossible_ini_value_is_a_usage_error_that_names_it(
    lonely_project: Project, ini: str, message: str
) -> None:
    result = lonely_project.ini(ini).write(test_a=TESTS).run()
    assert result.status == pytest.ExitCode.USAGE_ERROR
    assert message in result.text


def test_an_impossible_variable_is_a_usage_error_that_names_it(lonely_project: Project) -> None:
    result = lonely_project.write(test_a=TESTS).run(TEST_POSTGRES_PORT="port")
    assert result.status == pytest.ExitCode.USAGE_ERROR
    assert "TEST_POSTGRES_PORT has the value 'port'" in result.text


def test_an_option_that_swallows_a_path_says_how_to_write_it(lonely_project: Project) -> None:
    result = lonely_project.write(test_a=TESTS).run("--keep-failed", "test_a.py")
    assert result.status == pytest.ExitCode.USAGE_ERROR
    assert "write --keep-failed=5" in result.text


def test_a_marker_that_nobody_understands_stops_the_run_before_any_test(lonely_project: Project) -> None:
    lonely_project.write(
        test_a="""
        import pytest

        @pytest.mark.postgres_isolation("schema")
        def test_a():
            pass
        """
    )
    result = lonely_project.run()
    assert result.status == pytest.ExitCode.USAGE_ERROR
    assert "postgres_isolation('schema') is not understood" in result.text


def test_the_application_finds_the_stack_when_it_is_imported(project: Project) -> None:
    project.ini("real_services_env = DATABASE_URL REDIS_URL SA_URL=postgresql+asyncpg").write(
        app="""
        import os

        URL, REDIS, SA, PORT = (os.environ[n] for n in ("DATABASE_URL", "REDIS_URL", "SA_URL", "TEST_POSTGRES_PORT"))
        """,
        conftest="import app",
        test_a="""
        import app, asyncpg, redis

        async def test_a():
            connection = await asyncpg.connect(app.URL)
            assert await connection.fetchval("SELECT count(*) FROM users") >= 60
            await connection.close()
            assert app.PORT in app.URL
            assert app.SA == app.URL.replace("postgresql://", "postgresql+asyncpg://")
            with redis.Redis.from_url(app.REDIS) as client:
                assert client.ping()
        """,
    )
    project.run("-q", "-p", "no:randomly").passes(passed=1)
    project.run("-q", "-n", "2").passes(passed=1)


def test_databases_begin_with_the_prefix_that_was_said(project: Project) -> None:
    project.ini("database_prefix = mine_here").write(
        test_a="""
        import os

        def test_a(isolated_external_postgres, parallel_test_coordinator):
            assert isolated_external_postgres.name.startswith(os.environ.get("WANTED", "mine_here") + "_master_")
        """
    )
    project.run("-q").passes(passed=1)
    project.run("-q", TEST_DATABASE_PREFIX="other", WANTED="other").passes(passed=1)


def test_what_the_user_set_is_left_alone(project: Project) -> None:
    project.ini("real_services_env = DATABASE_URL").write(
        test_a="""
        import os

        def test_a():
            assert os.environ["DATABASE_URL"] == "mine"
        """
    )
    project.run("-q", DATABASE_URL="mine").passes(passed=1)


def test_markers_and_fixtures_are_documented_by_pytest_itself(lonely_project: Project) -> None:
    text = lonely_project.run("--markers").text
    for marker in (
        "requires_postgres",
        "requires_redis",
        "requires_clickhouse",
        "postgres_isolation",
        "redis_unguarded",
    ):
        assert f"@pytest.mark.{marker}" in text
    text = lonely_project.run("--fixtures").text
    for fixture in ("real_postgres", "isolated_external_postgres", "test_user_token", "external_redis_config"):
        assert f"\n{fixture} -- " in text
