"""The script that gives CI a Docker engine leaves alone what is not its own."""

from __future__ import annotations

import os
import signal
import tarfile
import tempfile
from collections.abc import Iterator
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


# The engine of the other tests keeps its bridges and packet filter: this one lives in a network of its own. Needs root.
IN_A_NETWORK_OF_ITS_OWN = ("unshare", "--net", SCRIPT)


@pytest.fixture
def own_engine(docker_engine: None) -> Iterator[dict[str, str]]:
    """An environment in which no engine answers, and a base image that needs no package archive."""
    # pytest's own directory is too deep for containerd's sockets.
    with tempfile.TemporaryDirectory(prefix="tf-engine-") as directory:
        cache = Path(directory, "cache")
        cache.mkdir()
        with tarfile.open(cache / "bookworm.tar", "w") as base:
            base.add(__file__, arcname="file")
        yield {
            **os.environ,
            "DOCKER_HOST": f"unix://{directory}/nobody.sock",
            "TEST_ENGINE_RUN_DIR": str(Path(directory, "run", "engine")),
            "TEST_ENGINE_CACHE": str(cache),
        }


def test_what_a_killed_engine_left_is_cleared_away_by_the_next_start(own_engine: dict[str, str]) -> None:
    engine = Path(own_engine["TEST_ENGINE_RUN_DIR"])
    try:
        first = run(*IN_A_NETWORK_OF_ITS_OWN, "start", environment=own_engine)
        assert first.returncode == 0, first.stderr
        killed = int((engine / "started.pid").read_text())
        os.kill(killed, signal.SIGKILL)

        second = run(*IN_A_NETWORK_OF_ITS_OWN, "start", environment=own_engine)
        assert second.returncode == 0, second.stderr
        assert "clearing away" in second.stderr
        socket = second.stdout.strip().removeprefix("export DOCKER_HOST=")
        assert run("docker", "--host", socket, "version").returncode == 0
        assert int((engine / "started.pid").read_text()) != killed
    finally:
        stopped = run(*IN_A_NETWORK_OF_ITS_OWN, "stop", environment=own_engine)
    assert stopped.returncode == 0, stopped.stderr
    assert not engine.exists()
    assert str(engine.parent) not in Path("/proc/self/mountinfo").read_text()


def test_a_directory_of_somebody_else_is_left_alone(own_engine: dict[str, str]) -> None:
    engine = Path(own_engine["TEST_ENGINE_RUN_DIR"])
    engine.mkdir(parents=True)
    (engine / "letter").write_text("theirs")
    started = run(*IN_A_NETWORK_OF_ITS_OWN, "start", environment=own_engine)
    assert started.returncode != 0
    assert f"{engine} is in the way" in started.stderr
    assert (engine / "letter").read_text() == "theirs"
