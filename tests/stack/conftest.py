"""A Docker engine and stacks in it, for the tests that are marked ``docker``."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.stack.compose_stack import ComposeStack, build_images, run

# Characters that shells, SQL, XML, YAML and redis.conf each treat in a way of their own.
CANARY = "canary-4711'\"\\&<>%s/$x `;#"


@pytest.fixture(scope="session")
def docker_engine() -> None:
    """A Docker engine with Compose v2 answers; without one these tests are skipped, or fail with REQUIRE_DOCKER=1."""
    problem = None
    for command in (("docker", "version", "--format", "{{.Server.Version}}"), ("docker", "compose", "version")):
        try:
            done = run(*command)
        except FileNotFoundError:
            problem = "there is no docker command"
            break
        if done.returncode != 0:
            problem = f"{' '.join(command[:3])}: {(done.stderr or done.stdout).strip()}"
            break
    if problem is None:
        return
    if os.environ.get("REQUIRE_DOCKER") == "1":
        pytest.fail(f"REQUIRE_DOCKER=1, but no Docker engine can be used: {problem}", pytrace=False)
    pytest.skip(f"no Docker engine can be used ({problem}); scripts/ci/docker-engine.sh start gives you one")


@pytest.fixture(scope="session")
def docker_images(docker_engine: None) -> None:
    """The images of this checkout."""
    build_images()


@pytest.fixture(scope="session")
def compose_stack(docker_images: None) -> Iterator[ComposeStack]:
    """A healthy, seeded stack with awkward passwords. It is shared: change nothing in it."""
    passwords = dict.fromkeys(("TEST_POSTGRES_PASSWORD", "TEST_REDIS_PASSWORD", "TEST_CLICKHOUSE_PASSWORD"), CANARY)
    with ComposeStack(passwords).up() as stack:
        yield stack
