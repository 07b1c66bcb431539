"""A stack of containers of its own for a test: random name, free ports, images built from this checkout."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["PROJECT", "ComposeStack", "build_images", "run"]

PROJECT = Path(__file__).resolve().parent.parent.parent
COMPOSE_FILE = PROJECT / "docker-compose.test.yml"
# A tag of its own: what these tests build must not be what a user's stack starts.
IMAGE_TAG = "pytest"
_PORTS = ("TEST_POSTGRES_PORT", "TEST_REDIS_PORT", "TEST_CLICKHOUSE_HTTP_PORT", "TEST_MONITOR_PORT")


def run(*command: str, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, whatever its exit status."""
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        env=None if environment is None else dict(environment),
    )


def base_environment() -> dict[str, str]:
    """This process's, without what a developer set for a stack of their own, except which ClickHouse to take."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TEST_", "COMPOSE_"))}
    return {
        **kept,
        **dict.fromkeys(_PORTS, "0"),
        # The official image needs a registry, which is not everywhere.
        "TEST_CLICKHOUSE_TARGET": os.environ.get("TEST_CLICKHOUSE_TARGET") or "embedded",
        "TEST_IMAGE_TAG": IMAGE_TAG,
    }


def build_images() -> None:
    """Build the images once; other workers wait, and then find every layer cached."""
    lock = Path(tempfile.gettempdir()) / f"test-framework-images-{os.getuid()}.lock"
    with lock.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        done = run("docker", "compose", "-f", str(COMPOSE_FILE), "build", environment=base_environment())
        assert done.returncode == 0, f"the images cannot be built:\n{done.stderr[-4000:]}"


@dataclass(frozen=True)
class ComposeStack:
    """``docker compose`` on the project's own file. ``variables`` are what a user would set in the environment."""

    variables: Mapping[str, str] = field(default_factory=dict)
    overrides: Sequence[Path] = ()
    name: str = field(default_factory=lambda: f"tfc-{secrets.token_hex(4)}")

    def compose(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        files = [word for file in (COMPOSE_FILE, *self.overrides) for word in ("-f", str(file))]
        environment = {**base_environment(), "TEST_STACK_NAME": self.name, **self.variables}
        return run("docker", "compose", *files, *arguments, environment=environment)

    @contextlib.contextmanager
    def up(self) -> Iterator[ComposeStack]:
        """Up and healthy inside the block; gone after it."""
        with self.gone_afterwards():
            done = self.compose("up", "-d", "--wait")
            assert done.returncode == 0, f"{done.stderr[-2000:]}\n{self.logs()[-6000:]}"
            yield self

    @contextlib.contextmanager
    def gone_afterwards(self) -> Iterator[None]:
        try:
            yield
        finally:
            self.down()

    def down(self) -> None:
        done = self.compose("down", "--timeout", "5")
        assert done.returncode == 0, done.stderr

    def logs(self) -> str:
        done = self.compose("logs", "--no-color")
        return done.stdout + done.stderr

    def container(self, service: str) -> str:
        return f"{self.name}-{service.removeprefix('test-')}"

    def inspect(self, service: str) -> dict[str, Any]:
        done = run("docker", "inspect", self.container(service))
        assert done.returncode == 0, done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)[0]
        return answer

    def execute(self, service: str, *command: str) -> subprocess.CompletedProcess[str]:
        """Run ``command`` inside the container."""
        return run("docker", "exec", self.container(service), *command)

    def port(self, service: str, target: int) -> int:
        """The published port on this machine."""
        bindings = self.inspect(service)["NetworkSettings"]["Ports"][f"{target}/tcp"]
        return int(bindings[-1]["HostPort"])

    def left_over(self) -> dict[str, list[str]]:
        """What the engine still has of this stack, by kind."""
        label = f"label=com.docker.compose.project={self.name}"
        listings = {
            "containers": ("ps", "--all", "--quiet", "--filter", label),
            "networks": ("network", "ls", "--quiet", "--filter", label),
            "volumes": ("volume", "ls", "--quiet", "--filter", label),
        }
        return {kind: run("docker", *words).stdout.split() for kind, words in listings.items()}
