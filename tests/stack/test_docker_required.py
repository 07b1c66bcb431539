"""What happens to the tests that need Docker where no engine answers."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.stack.compose_stack import PROJECT


def _run_one_docker_test(**environment: str) -> subprocess.CompletedProcess[str]:
    test = "tests/stack/test_compose_up.py::test_the_monitor_says_healthy"
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("REQUIRE_DOCKER", "PYTEST_"))}
    return subprocess.run(
        [sys.executable, "-m", "pytest", test, "-p", "no:cacheprovider", "-p", "no:randomly", "-q"],
        cwd=PROJECT,
        env={**kept, "DOCKER_HOST": "unix:///nonexistent/docker.sock", **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_an_engine_they_are_skipped_and_say_how_to_get_one() -> None:
    done = _run_one_docker_test()
    assert done.returncode == 0, done.stdout
    assert "1 skipped" in done.stdout
    assert "scripts/ci/docker-engine.sh start" in done.stdout


def test_without_an_engine_they_fail_where_docker_is_required() -> None:
    done = _run_one_docker_test(REQUIRE_DOCKER="1")
    assert done.returncode == 1, done.stdout
    assert "REQUIRE_DOCKER=1, but no Docker engine can be used" in done.stdout
