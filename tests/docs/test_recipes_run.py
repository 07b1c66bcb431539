"""The shell lines of CI recipes, run as a job would run them; only what installs packages is left out."""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from test_framework.endpoints import ClickHouseEndpoint, PostgresEndpoint, RedisEndpoint
from tests.docs.recipes import RECIPES, Job, jobs
from tests.native_stack import TIMEOUT, NativeStack, new_stack
from tests.plugin.harness import STRANGERS

# Our own environment has everything already, and tests install nothing.
INSTALLS = ("pip install ", "python3 -m venv ", ". .venv/")
TEST_FILE = """
import pytest


@pytest.mark.parametrize("number", range(4))
async def test_a_user_is_stored(real_postgres, real_redis, real_clickhouse, test_user, number):
    assert await real_redis.incr("n") == 1
    assert await real_postgres.fetchval("SELECT name FROM users WHERE id = $1", test_user["id"]) == test_user["name"]
    assert await real_clickhouse.execute("SELECT count() > 0 FROM user_events") == [(1,)]
"""
MOCK_FILE = """
from unittest.mock import Mock


def test_with_a_mock():
    service = Mock(return_value=1)
    assert service() == 1
"""


@dataclass
class Checkout:
    """A user's project in a job: its folder and the variables of its shell."""

    folder: Path
    variables: Mapping[str, str]
    output: list[str] = field(default_factory=list)

    def run(self, lines: tuple[str, ...]) -> int:
        """Run ``lines`` until one fails; the last exit status."""
        for line in lines:
            if not line.startswith(INSTALLS):
                done = self._shell(line)
                self.output.append(f"$ {line}\n{done.stdout}{done.stderr}[{done.returncode}]")
                if done.returncode != 0:
                    return done.returncode
        return 0

    def _shell(self, line: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", "-e", "-c", line],
            cwd=self.folder,
            env=dict(self.variables),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )

    @property
    def text(self) -> str:
        return "\n".join(self.output)

    def outcomes(self) -> tuple[int, int]:
        """Tests in the JUnit file that the recipe keeps, and how many of them did not pass."""
        cases = list(ET.parse(self.folder / "junit.xml").iter("testcase"))
        return len(cases), sum(len(case) > 0 and case[0].tag != "properties" for case in cases)


def job_named(recipe: str, name: str) -> Job:
    file = next(each for each in RECIPES if each.name == recipe)
    return next(job for job in jobs(file) if job.name == name)


def checkout_of(stack: NativeStack, job: Job, **variables: str) -> Checkout:
    folder = stack.project
    folder.joinpath("tests").mkdir()
    folder.joinpath("tests", "test_users.py").write_text(TEST_FILE)
    folder.joinpath("pytest.ini").write_text("[pytest]\nasyncio_mode = auto\n")
    given = {
        **stack.environment,
        **job.variables,
        **{name: stack.variables[name] for name in stack.variables},
        **variables,
        "CI": "true",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTEST_ADDOPTS": " ".join(["--maxprocesses 2 -p no:cacheprovider", *(f"-p no:{name}" for name in STRANGERS)]),
    }
    return Checkout(folder, given)


@pytest.fixture
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NativeStack]:
    """A stack that is not up; the recipe brings it up."""
    with new_stack(tmp_path_factory.mktemp("cache"), seed=None) as fresh:
        yield fresh


def test_the_native_recipe_tests_on_its_servers_fails_with_the_tests_and_leaves_nothing(stack: NativeStack) -> None:
    job = job_named("gitlab-native.yml", "tests")
    checkout = checkout_of(stack, job)
    first = checkout.run(job.lines)
    outcomes = checkout.outcomes() if first == 0 else None
    stack.project.joinpath("tests", "test_users.py").write_text("def test_it(redis_url):\n    assert not redis_url\n")
    second = checkout.run(job.lines[-1:])
    assert checkout.run(job.last) == 0, checkout.text
    assert (first, second) == (0, 1), checkout.text
    assert outcomes == (4, 0), checkout.text
    assert "test-postgres" in stack.project.joinpath("servers.log").read_text()
    assert stack.traces() == []


def test_both_native_recipes_do_the_same() -> None:
    assert job_named("github-native.yml", "tests").lines == job_named("gitlab-native.yml", "tests").lines


def test_the_recipe_with_services_seeds_and_uses_servers_of_somebody_else(
    stack: NativeStack,
    postgres_server: PostgresEndpoint,
    redis_server: RedisEndpoint,
    clickhouse_server: ClickHouseEndpoint,
) -> None:
    job = job_named("github-services.yml", "tests")
    checkout = checkout_of(
        stack,
        job,
        TEST_POSTGRES_HOST=postgres_server.host,
        TEST_POSTGRES_PORT=str(postgres_server.port),
        TEST_POSTGRES_PASSWORD=postgres_server.password.reveal(),
        TEST_REDIS_HOST=redis_server.host,
        TEST_REDIS_PORT=str(redis_server.port),
        TEST_REDIS_PASSWORD=redis_server.password.reveal(),
        TEST_CLICKHOUSE_HOST=clickhouse_server.host,
        TEST_CLICKHOUSE_HTTP_PORT=str(clickhouse_server.port),
        TEST_CLICKHOUSE_USER=clickhouse_server.user,
        TEST_CLICKHOUSE_PASSWORD=clickhouse_server.password.reveal(),
    )
    assert checkout.run(job.lines) == 0, checkout.text
    assert checkout.outcomes() == (4, 0), checkout.text


@pytest.mark.parametrize(("recipe", "name"), [("github-mocks.yml", "ratchet"), ("gitlab-native.yml", "mocks")])
def test_the_ratchet_passes_with_the_recorded_mocks_and_fails_with_a_new_one(
    stack: NativeStack, recipe: str, name: str
) -> None:
    job = job_named(recipe, name)
    checkout = checkout_of(stack, job)
    tests = stack.project / "tests"
    tests.joinpath("test_old.py").write_text(MOCK_FILE)
    assert checkout.run(("test-framework scan tests --baseline mocks.json --update-baseline",)) == 0, checkout.text
    assert checkout.run(job.lines) == 0, checkout.text
    tests.joinpath("test_new.py").write_text(MOCK_FILE)
    assert checkout.run(job.lines) == 1, checkout.text
