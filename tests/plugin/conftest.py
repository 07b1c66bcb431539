"""A stack for the runs that the tests of this folder start, and projects to run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.native_stack import NativeStack, new_stack
from tests.plugin.harness import Project, without_services

# Characters that URLs, shells and XML each treat in a way of their own: they must reach the servers, and no report.
CANARY = "canary-4711@:/?#%&<>'\"`$"
PASSWORDS = ("TEST_POSTGRES_PASSWORD", "TEST_REDIS_PASSWORD", "TEST_CLICKHOUSE_PASSWORD")


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NativeStack]:
    """A healthy stack with the shipped seed. It is shared: no test ends its servers."""
    with new_stack(tmp_path_factory.mktemp("cache"), seed=None) as fresh:
        stack = fresh.having(**dict.fromkeys(PASSWORDS, CANARY))
        stack.up()
        yield stack


@pytest.fixture(scope="session")
def stack_environment(stack: NativeStack) -> dict[str, str]:
    """What a developer's shell has, who uses that stack. The passwords are learnt from what it published."""
    names = ("TEST_STACK_NAME", "TEST_STATE_DIR", "HOME", "XDG_CACHE_HOME")
    return {**without_services(stack.environment), **{name: stack.variables[name] for name in names}}


@pytest.fixture
def project(tmp_path: Path, stack_environment: dict[str, str]) -> Project:
    """A project whose stack is up."""
    return Project(tmp_path, stack_environment)


@pytest.fixture
def lonely_project(tmp_path: Path, stack_environment: dict[str, str]) -> Project:
    """A project without a stack: nobody listens where it looks."""
    nobody = {f"TEST_{name}_PORT": "1" for name in ("POSTGRES", "REDIS", "CLICKHOUSE_HTTP")}
    alone = {"TEST_STACK_NAME": "nobody", "TEST_STATE_DIR": str(tmp_path / "state"), **nobody}
    return Project(tmp_path, {**stack_environment, **alone})


@pytest.fixture(scope="session")
def project_of(tmp_path_factory: pytest.TempPathFactory, stack_environment: dict[str, str]) -> Callable[[str], Project]:
    """For runs that several tests look at: a project called ``name`` whose stack is up."""
    return lambda name: Project(tmp_path_factory.mktemp(name), stack_environment)


# These are the projects that tests run from outside.
collect_ignore = ["projects"]
