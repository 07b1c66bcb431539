"""The script that gives CI a Docker engine leaves alone what is not its own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.stack.compose_stack import PROJECT, run

pytestmark = [pytest.mark.docker, pytest.mark.timeout(600)]

SCRIPT = str(PROJECT / "scripts" / "ci" / "docker-engine.sh")


def test_an_engine_that_answers_is_used_and_outlives_a_stop(docker_engine: None, tmp_path: Path) -> None:
    # Its own directory: nothing of an engine that the script itself may have started is in there.
    environment = {**os.environ, "TEST_ENGINE_RUN_DIR": str(tmp_path / "engine")}
    started = run(SCRIPT, "start", environment=environment)
    assert started.returncode == 0, started.stderr
    assert "an engine already answers" in started.stderr
    assert started.stdout == ""  # no other engine to point the client at
    assert not (tmp_path / "engine").exists()
    stopped = run(SCRIPT, "stop", environment=environment)
    assert (stopped.returncode, "no engine of ours runs" in stopped.stderr) == (0, True)
    assert run("docker", "version").returncode == 0


def test_an_unknown_command_says_how_it_is_used() -> None:
    done = run(SCRIPT, "restart")
    assert done.returncode != 0
    assert "start|stop" in done.stderr
