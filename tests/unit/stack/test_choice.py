"""Which backend is taken, and why; Docker is a scripted program here."""

from __future__ import annotations

from pathlib import Path

import pytest

from test_framework.errors import BackendUnavailable, SettingsError
from test_framework.stack.choice import decide
from test_framework.stack.engine import find_engine

ANSWERS = {
    "works": 'case "$1" in version) echo 27.1;; compose) echo 2.29.0;; esac',
    "no daemon": "echo 'Cannot connect to the Docker daemon at unix:///x. Is the docker daemon running?' >&2; exit 1",
    "no permission": "echo 'permission denied while trying to connect to the Docker daemon socket' >&2; exit 1",
    "no compose": "[ $1 = version ] && echo 27.1 && exit; echo docker: compose is not a docker command >&2; exit 1",
    "silent failure": "exit 1",
}


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}")
    script = ANSWERS.get(request.param)
    if script:
        (tmp_path / "docker").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "docker").chmod(0o755)


@pytest.mark.usefixtures("docker")
@pytest.mark.parametrize("docker", ["works"], indirect=True)
def test_an_engine_that_answers_is_taken_and_its_versions_are_told() -> None:
    choice = decide("auto")
    assert choice.name == "compose"
    assert choice.reason == "a Docker engine answers (engine 27.1, Compose 2.29.0)"
    assert decide("native").name == "native"


@pytest.mark.usefixtures("docker")
@pytest.mark.parametrize(
    ("docker", "problem"),
    [
        ("no daemon", "Cannot connect to the Docker daemon"),
        ("no permission", "permission denied"),
        ("no compose", "no compose command"),
        ("absent", "there is no docker command"),
        ("silent failure", "it does not answer"),
    ],
    indirect=["docker"],
)
def test_without_a_usable_engine_auto_is_native_and_compose_an_error_with_its_cause(problem: str) -> None:
    choice = decide("auto")
    assert choice.name == "native"
    assert problem in choice.reason
    with pytest.raises(BackendUnavailable) as caught:
        decide("compose")
    assert problem in (caught.value.cause or "")
    assert "BACKEND=native" in (caught.value.fix or "")
    assert find_engine().problem


def test_an_unknown_backend_is_refused_with_the_known_ones() -> None:
    with pytest.raises(SettingsError, match="no backend 'podman'") as caught:
        decide("podman")
    assert "auto, compose, native, external" in (caught.value.fix or "")
