"""The Docker engine as seen from its command line: does it answer, run Compose, read its answers."""

from __future__ import annotations

import asyncio
import collections
import json
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from test_framework.errors import BackendUnavailable

__all__ = ["Compose", "find_engine"]


@dataclass(frozen=True)
class Engine:
    """What answered. ``problem`` says why Compose cannot be used; then the versions may be unknown."""

    server_version: str | None
    compose_version: str | None
    problem: str | None
    fix: str | None


def find_engine(environment: Mapping[str, str] | None = None) -> Engine:
    """Ask the engine for its version, and the client for Compose. Takes well under a second, engine or none."""
    server = _ask(["docker", "version", "--format", "{{.Server.Version}}"], environment)
    if server is None:
        return Engine(None, None, "there is no docker command", "install Docker, or use BACKEND=native")
    if server.returncode != 0:
        cause = (server.stderr or server.stdout).strip().splitlines()[-1:] or ["it does not answer"]
        return Engine(None, None, cause[0], "start the Docker engine, or use BACKEND=native")
    compose = _ask(["docker", "compose", "version", "--short"], environment)
    if compose is None or compose.returncode != 0:
        problem = "docker has no compose command (version 2)"
        return Engine(server.stdout.strip(), None, problem, "install the Docker Compose plugin, or use BACKEND=native")
    return Engine(server.stdout.strip(), compose.stdout.strip(), None, None)


def _ask(command: Sequence[str], environment: Mapping[str, str] | None) -> subprocess.CompletedProcess[str] | None:
    try:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
            env=None if environment is None else dict(environment),
        )
    except FileNotFoundError:
        return None
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 1, "", "the engine accepts and does not answer within 10 s")


@dataclass(frozen=True, kw_only=True)
class Compose:
    """``docker compose`` for one project.

    Args:
        project: the Compose project, which is the stack's name.
        files: compose files in merging order; only ``up`` needs them.
        environment: variables for interpolation, on top of this process's own.
    """

    project: str
    files: Sequence[Path]
    environment: Mapping[str, str]

    async def follow(self, on_line: Callable[[str], None], *arguments: str) -> tuple[int, str]:
        """Run one long subcommand, handing each line of its output on; returns exit status and the last lines.

        When cancelled, the subcommand is ended first, so that it never works against the cleaning up.
        """
        process = await asyncio.create_subprocess_exec(
            *self._command(arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=self._environment,
            start_new_session=True,  # the terminal's Ctrl-C reaches us only, and we pass it on
        )
        assert process.stdout is not None
        tail: collections.deque[str] = collections.deque(maxlen=20)
        try:
            async for raw in process.stdout:
                line = raw.decode(errors="replace").rstrip()
                tail.append(line)
                on_line(line)
            return await process.wait(), "\n".join(tail)
        except asyncio.CancelledError:
            process.terminate()
            await process.wait()
            raise

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one subcommand to its end and return what it said; never raises for its exit status.

        Without files Compose finds the project by its containers' labels; it then runs where no compose file of
        somebody else's lies about.
        """
        return subprocess.run(
            self._command(arguments),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            env=self._environment,
            cwd=None if self.files else "/",
        )

    def _command(self, arguments: Sequence[str]) -> list[str]:
        files = [word for file in self.files for word in ("-f", str(file))]
        return ["docker", "compose", "--progress", "plain", "-p", self.project, *files, *arguments]

    @property
    def _environment(self) -> dict[str, str]:
        return {**os.environ, **self.environment}

    def containers(self) -> list[dict[str, Any]]:
        """``docker compose ps`` as data: ``Service``, ``State``, ``Health``, ``ExitCode``, ``Publishers`` of each.

        Raises:
            BackendUnavailable: the engine does not answer.
        """
        done = self.run("ps", "--all", "--format", "json")
        if done.returncode != 0:
            raise BackendUnavailable(
                "the Docker engine does not say which containers run",
                where="docker compose ps",
                cause=done.stderr.strip()[-500:],
                fix="start the Docker engine, or use BACKEND=native",
            )
        # One object a line since Compose 2.21, one array before.
        text = done.stdout.strip()
        if text.startswith("["):
            rows: list[dict[str, Any]] = json.loads(text)
            return rows
        return [json.loads(line) for line in text.splitlines()]
