"""Every fixture in runs from outside, under every runner of asynchronous tests and every way to distribute them.

What the fixtures promise is written down as tests of a user: ``projects/every_fixture``.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.plugin.harness import Project, Result

PROJECTS = Path(__file__).parent / "projects"
# What workers can get wrong between them. Every driver in every worker would only cost imports.
SHARED = ("test_real_postgres", "test_real_redis", "test_data", "test_parallel")
MODES = {
    "a loop per test, auto mode": ("auto", "function", (), ()),
    "a loop per session, strict mode, four workers": ("strict", "session", ("-n", "4"), (*SHARED, "test_unittest")),
    "a loop per module, two workers by scope": ("auto", "module", ("-n", "2", "--dist", "loadscope"), ()),
    "a loop per class, eight workers that steal": ("strict", "class", ("-n", "8", "--dist", "worksteal"), SHARED),
}


def every_fixture(project: Project, *names: str) -> Project:
    for file in sorted((PROJECTS / "every_fixture").glob("test_*.py")):
        if not names or file.stem in names:
            shutil.copy(file, project.path)
    return project


def all_passed(result: Result) -> Result:
    assert result.status == 0, result.text
    assert set(result.counts()) == {"passed"}, result.text
    return result


@pytest.mark.parametrize("mode", MODES)
def test_every_fixture_keeps_its_promises(project: Project, mode: str) -> None:
    asyncio_mode, scope, arguments, names = MODES[mode]
    project.ini(f"asyncio_default_test_loop_scope = {scope}", asyncio_mode=asyncio_mode)
    all_passed(every_fixture(project, *names).run("-q", *arguments, USE_REAL_SERVICES="true"))


def test_two_complete_runs_at_once_on_one_stack_are_both_green(
    tmp_path: Path, stack_environment: dict[str, str]
) -> None:
    runs = []
    for name in ("one", "two"):
        tmp_path.joinpath(name).mkdir()
        project = every_fixture(Project(tmp_path / name, stack_environment), *SHARED, "test_real_clickhouse")
        project.ini("asyncio_default_test_loop_scope = package")
        runs.append((project, project.start("-q", "-n", "2", USE_REAL_SERVICES="true")))
    results = [project.finish(process) for project, process in runs]
    for result in results:
        all_passed(result)


def test_anyio_runs_the_same_fixtures_with_its_own_loop(project: Project) -> None:
    every_fixture(project, "test_real_postgres", "test_real_redis", "test_real_clickhouse")
    for file in project.path.glob("test_*.py"):
        file.write_text(file.read_text().replace("pytest.mark.asyncio", "pytest.mark.anyio"))
    project.write(
        conftest="""
        import pytest

        @pytest.fixture(params=["asyncio"])
        def anyio_backend(request):
            return request.param
        """
    )
    all_passed(project.ini(asyncio_mode="strict").run("-q", USE_REAL_SERVICES="true"))


def test_a_test_on_trio_is_told_that_the_drivers_need_asyncio(project: Project) -> None:
    project.write(
        test_a="""
        import pytest

        @pytest.fixture
        def anyio_backend():
            return "trio"

        @pytest.mark.anyio
        async def test_postgres(real_postgres):
            await real_postgres.execute("SELECT 1")

        @pytest.mark.anyio
        async def test_redis(real_redis):
            await real_redis.get("k")

        @pytest.mark.anyio
        async def test_clickhouse(real_clickhouse):
            await real_clickhouse.execute("SELECT 1")

        @pytest.mark.anyio
        async def test_addresses_are_for_everybody(postgres_dsn, redis_url, clickhouse_url, test_user):
            assert postgres_dsn and redis_url and clickhouse_url and test_user["id"]
        """
    )
    result = project.ini(asyncio_mode="strict").run("-q")
    result.passes(passed=1, failed=3)
    for fixture in ("real_postgres.execute()", "real_redis, command GET", "real_clickhouse.execute()"):
        assert f"{fixture} was called in a test that runs on trio" in result.text
    assert "never awaited" not in result.text


def test_users_fixtures_of_every_scope_use_the_fixtures_in_the_tests_loop(project: Project) -> None:
    project.write(
        test_a="""
        import pytest_asyncio

        @pytest_asyncio.fixture
        async def account(real_postgres, real_redis):
            await real_redis.set("k", "v")
            yield await real_postgres.fetchval("INSERT INTO users (email) VALUES ('mine@example.com') RETURNING id")
            assert await real_redis.get("k") == "w"
            assert await real_postgres.fetchval("SELECT count(*) FROM users WHERE name = 'changed'") == 1

        async def test_a(account, real_postgres, real_redis):
            assert await real_redis.getset("k", "w") == "v"
            assert await real_postgres.execute("UPDATE users SET name = 'changed' WHERE id = $1", account) == "UPDATE 1"
        """
    )
    project.run("-q").passes(passed=1)


def test_a_user_fixture_in_a_wider_loop_than_the_test_uses_the_same_clients(project: Project) -> None:
    project.write(
        test_a="""
        import asyncio
        import pytest_asyncio

        @pytest_asyncio.fixture(loop_scope="session")
        async def account(real_postgres, real_redis, real_clickhouse):
            await real_redis.set("k", "v")
            await real_postgres.execute("INSERT INTO users (email) VALUES ('mine@example.com')")
            return asyncio.get_running_loop()

        async def test_a(account, real_postgres, real_redis, real_clickhouse):
            assert account is not asyncio.get_running_loop()
            assert await real_redis.get("k") == "v"
            assert await real_postgres.fetchval("SELECT count(*) FROM users WHERE email = 'mine@example.com'") == 1
            assert await real_clickhouse.execute("SELECT 1") == [(1,)]
        """
    )
    project.run("-q").passes(passed=1)


def test_star_imports_in_two_conftests_set_up_nothing_twice(project: Project) -> None:
    project.write(
        conftest="from test_framework.conftest_comprehensive import *",
        sub__conftest="from test_framework.conftest_comprehensive import *",
        sub__test_a="""
        async def test_a(test_user, real_postgres, parallel_test_coordinator, isolated_external_redis, redis_url):
            assert await real_postgres.fetchval("SELECT count(*) FROM users WHERE email = $1", test_user["email"]) == 1
            services = sorted(lease.service for lease in parallel_test_coordinator.mine())
            assert services == ["postgres", "redis"]
        """,
    )
    project.run("-q", USE_REAL_SERVICES="true").passes(passed=1)


def test_the_fixtures_work_by_star_import_when_the_plugin_is_switched_off(project: Project) -> None:
    project.write(
        conftest="from test_framework.conftest_comprehensive import *",
        test_a="""
        async def test_a(test_user, real_postgres):
            assert await real_postgres.fetchval("SELECT count(*) FROM users WHERE email = $1", test_user["email"]) == 1
        """,
    )
    project.run("-q", "-p", "no:test_framework").passes(passed=1)


@pytest.mark.parametrize(
    ("module", "themes"),
    [
        ("conftest_real_services", ("services", "data", "parallel")),
        ("conftest_isolated_environment", ("isolation", "services", "parallel", "environment")),
        ("conftest_comprehensive", ("services", "isolation", "data", "parallel", "environment")),
    ],
)
def test_a_star_import_brings_every_fixture_of_its_themes(module: str, themes: tuple[str, ...]) -> None:
    import importlib

    from _pytest.fixtures import FixtureFunctionDefinition

    namespace: dict[str, object] = {}
    exec(f"from test_framework.{module} import *", namespace)
    for theme in themes:
        source = importlib.import_module(f"test_framework.plugin.{theme}_fixtures")
        fixtures = {name for name, value in vars(source).items() if isinstance(value, FixtureFunctionDefinition)}
        assert fixtures == set(source.__all__)
        assert fixtures <= set(namespace)
