"""The Docker backend: ``docker compose`` on the same definition."""

from __future__ import annotations

import dataclasses
import json
import re
import secrets
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from test_framework.errors import ServiceUnavailable, SettingsError, StackError
from test_framework.seeding import seed_all
from test_framework.settings import Variables
from test_framework.stack.addresses import TARGETS, Address, check_ports, endpoints_at, published_ports, reachable
from test_framework.stack.backend import Report, StartRequest
from test_framework.stack.definition import SERVICES
from test_framework.stack.engine import Compose
from test_framework.stack.monitor_client import wait_for_monitor
from test_framework.stack.shipped import image_tag
from test_framework.state import StackState
from test_framework.waiting import Deadline

__all__ = ["ComposeBackend"]

LOG_LINES = 50
# What "docker compose up --progress plain" prints about a container.
_CONTAINER_LINE = re.compile(r"Container (\S+)\s+(\w+)")


@dataclass(frozen=True, kw_only=True)
class ComposeBackend:
    """Containers of a Docker engine. See :class:`~test_framework.stack.backend.Backend`."""

    stack_name: str
    variables: Variables
    report: Report
    name: str = "compose"

    def preflight(self, request: StartRequest, running: StackState | None) -> None:
        check_ports(request.definition, held=published_ports(running))
        self._check_files(request)

    async def start(self, request: StartRequest) -> StackState:
        stack_id = secrets.token_hex(8)
        self._clear_leftovers()
        check_ports(request.definition)
        deadline = Deadline.after(request.settings.startup_timeout)
        try:
            await self._up(request, stack_id, deadline)
            state = self._state(request, stack_id)
            # What the seeder's container cannot know of is loaded from here: migrations, callables, several folders.
            # When it has loaded everything already, this asks each server one question.
            await seed_all(state.endpoints, request.plan, stack_id=state.stack_id, timeout=deadline.remaining)
            answer = await wait_for_monitor(
                state.endpoints.monitor, deadline, log=lambda: self._container_log("test-monitor", LOG_LINES)
            )
        except BaseException:
            self._down()
            raise
        return _with_versions(state, answer)

    async def stop(self, state: StackState | None) -> bool:
        found = bool(self._compose().containers())
        if found:
            self.report("", "stopping the containers")
            self._down()
        return found

    def recovers(self, state: StackState) -> bool:
        return False

    def logs(self, state: StackState, service: str, lines: int) -> str:
        return self._container_log(service, lines)

    def _compose(self, request: StartRequest | None = None, stack_id: str = "") -> Compose:
        environment = {**self.variables, "TEST_STACK_NAME": self.stack_name, "TEST_STACK_ID": stack_id}
        if request:
            # Compose would take a relative path from the compose file's directory, and it can mount but one.
            folders = request.settings.fixtures_dirs
            environment.setdefault("TEST_IMAGE_TAG", image_tag(request.definition.directory))
            environment["TEST_FIXTURES_DIR"] = str(folders[0].resolve()) if len(folders) == 1 else ""
        files = request.definition.files if request else ()
        return Compose(project=self.stack_name, files=files, environment=environment)

    def _check_files(self, request: StartRequest) -> None:
        """Have Compose itself read the files: it knows every key and its type."""
        done = self._compose(request).run("config", "--quiet")
        if done.returncode != 0:
            raise SettingsError(
                "docker compose refuses the compose files",
                where=", ".join(map(str, request.definition.files)),
                cause=done.stderr.strip()[-1000:],
                fix="mend what it names; nothing was changed",
            )

    def _clear_leftovers(self) -> None:
        """Nothing of ours is up, says the state: containers of this project are what an interrupted command left."""
        if self._compose().containers():
            self.report("", "removing containers that an earlier command left behind")
            self._down()

    async def _up(self, request: StartRequest, stack_id: str, deadline: Deadline) -> None:
        self.report("", "starting the containers (images are built the first time, which takes minutes)")
        wait = str(max(1, int(deadline.remaining)))
        status, output = await self._compose(request, stack_id).follow(
            self._report_line, "up", "-d", "--wait", "--wait-timeout", wait
        )
        if status != 0:
            raise self._failure(output, request.definition.files)

    def _report_line(self, line: str) -> None:
        if match := _CONTAINER_LINE.fullmatch(line.strip()):
            container, state = match.groups()
            self.report(container.replace(f"{self.stack_name}-", "test-", 1), state.lower())

    def _failure(self, output: str, files: tuple[Path, ...]) -> StackError:
        """Compose names a container at best; users need the service, its health answer and its log."""
        output = "\n    ".join(output.strip().splitlines()[-12:])
        for container in self._compose().containers():
            healthy = container.get("Health") in {"healthy", ""} and container.get("State") == "running"
            finished = container.get("State") == "exited" and container.get("ExitCode") == 0
            if not (healthy or finished):
                service = str(container["Service"])
                return ServiceUnavailable(
                    f"{service} is {container.get('Health') or container.get('State')}",
                    service=service,
                    where=f"container {container.get('Name')}, exit code {container.get('ExitCode')}",
                    cause=self._last_health_answer(str(container.get("Name"))) or output,
                    fix="its log below says why; flags and limits come from the override file",
                    log_tail=self._container_log(service, LOG_LINES),
                )
        return StackError(
            "docker compose could not start the stack",
            where=", ".join(map(str, files)),
            cause=output,
            fix="without a registry set TEST_CLICKHOUSE_TARGET=embedded; without Docker use BACKEND=native",
        )

    def _last_health_answer(self, container: str) -> str | None:
        done = subprocess.run(
            ["docker", "inspect", "--format", "{{json .State.Health}}", container],
            capture_output=True,
            text=True,
            check=False,
        )
        try:
            answers = json.loads(done.stdout)["Log"]
            return f"last health answer: {answers[-1]['Output'].strip()}"
        except (ValueError, KeyError, IndexError, TypeError):
            return None

    def _state(self, request: StartRequest, stack_id: str) -> StackState:
        published = {str(row["Service"]): row.get("Publishers") or [] for row in self._compose().containers()}
        addresses = {name: _published(published.get(name, []), target.port) for name, target in TARGETS.items()}
        lost = [name for name, address in addresses.items() if address is None]
        if lost:
            raise StackError(
                f"Docker published no port for {', '.join(lost)}",
                where="docker compose ps",
                fix="look at the ports in the override file",
            )
        return StackState(
            stack_name=self.stack_name,
            backend=self.name,
            stack_id=stack_id,
            definition=request.definition.digest,
            project_dir=str(request.settings.project_dir),
            started_at=time.time(),
            endpoints=endpoints_at(request.definition, {name: a for name, a in addresses.items() if a}),
        )

    def _container_log(self, service: str, lines: int) -> str:
        if service not in SERVICES:
            return ""
        return (
            self._compose().run("logs", "--no-color", "--no-log-prefix", "--tail", str(lines), service).stdout.rstrip()
        )

    def _down(self) -> None:
        done = self._compose().run("down", "--volumes", "--remove-orphans", "--timeout", "5")
        if done.returncode != 0:
            raise StackError(
                "docker compose could not remove the stack",
                where=self.stack_name,
                cause=done.stderr.strip()[-500:],
                fix="run 'make test-down' again once the engine answers",
            )


def _published(publishers: list[dict[str, Any]], target: int) -> Address | None:
    """The last published port of ``target``: an override that appends a port means that one."""
    found = [row for row in publishers if row.get("TargetPort") == target and row.get("PublishedPort")]
    return Address(reachable(str(found[-1].get("URL", ""))), int(found[-1]["PublishedPort"])) if found else None


def _with_versions(state: StackState, answer: dict[str, Any]) -> StackState:
    """The servers' versions as the monitor tells them."""
    services = answer.get("services", {})
    return dataclasses.replace(state, versions={name: str(row.get("version")) for name, row in services.items()})
