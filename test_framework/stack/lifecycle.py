"""Up, down, seed and logs: what the command line calls, whichever backend runs the servers."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from test_framework.endpoints import Endpoints
from test_framework.errors import SettingsError
from test_framework.settings import (
    Settings,
    Variables,
    load_settings,
    read_variables,
    stack_name_of,
    state_directory_of,
)
from test_framework.stack.definition import StackDefinition, load_definition
from test_framework.stack.lock import StackLock
from test_framework.stack.monitor_client import fetch_health
from test_framework.state import StackState, read_state, remove_state, write_state
from test_framework.waiting import Deadline, wait_until

if TYPE_CHECKING:
    from test_framework.seeding import SeedReport
    from test_framework.stack.backend import Backend, Report

__all__ = ["Stack", "UpResult"]

# The monitor asks every second; an older answer may be from before a server died.
_FRESH_SECONDS = 3.0
# As long as supervisor needs to bring a server back, and the monitor to see it.
_RECOVERY_SECONDS = 5.0
# Another command may be building images.
_LOCK_PATIENCE = 900.0


@dataclass(frozen=True, kw_only=True)
class UpResult:
    """``started`` tells a new stack from one that was already up; ``health`` is what its monitor says."""

    state: StackState
    started: bool
    health: Mapping[str, Any] | None


@dataclass(frozen=True, kw_only=True)
class Stack:
    """One user's stack of one name, as seen from ``project_dir``.

    Args:
        backend: a backend's name, or ``auto``.
        report: told what happens, service by service.
    """

    project_dir: Path
    variables: Variables
    backend: str
    report: Report

    @classmethod
    def of(cls, project_dir: Path, *, backend: str | None, report: Report) -> Stack:
        """The stack that the environment of this process names."""
        variables = read_variables(project_dir)
        settings_backend = variables.text("TEST_BACKEND", "auto")
        return cls(project_dir=project_dir, variables=variables, backend=backend or settings_backend, report=report)

    @property
    def name(self) -> str:
        return stack_name_of(self.variables)

    @property
    def directory(self) -> Path:
        """Where its state file and lock are."""
        return state_directory_of(self.variables)

    def settings(self) -> Settings:
        return load_settings(self.project_dir)

    def definition(self) -> StackDefinition:
        return load_definition(self.project_dir, self.variables)

    async def up(self) -> UpResult:
        """Bring everything up, seeded and healthy. A stack that is so already is left alone.

        Raises:
            FrameworkError: what it says; nothing that was not there before is left behind.
        """
        # Settings first: a variable with an impossible value is better named than the line it was inserted into.
        settings = self.settings()
        definition = self.definition()
        if result := self._already_up(settings.published, definition, settings):
            return result
        async with self._lock("up") as lock:
            # Read again: whoever held the lock may have brought it up for us.
            state = read_state(self.directory)
            if result := await self._up_soon(state, definition, settings):
                return result
            try:
                started = await self._replace(state, definition)
            except BaseException:
                if read_state(self.directory) is None:
                    lock.forget()
                raise
        return UpResult(state=started, started=True, health=fetch_health(started.endpoints.monitor))

    async def _replace(self, state: StackState | None, definition: StackDefinition) -> StackState:
        from test_framework.seeding import build_plan
        from test_framework.stack.backend import StartRequest
        from test_framework.stack.choice import choose_backend

        backend = choose_backend(self.backend, self.name, self.variables, self.report)
        # Before anything is stopped: a seed that cannot be read must leave the running stack alone.
        settings = self.settings()
        request = StartRequest(definition=definition, settings=settings, plan=build_plan(settings))
        if state:
            request.plan.check()
            backend.preflight(request, state)
            self.report("", self._reason_to_restart(state, definition, backend.name))
            await self._backend(state.backend).stop(state)
            remove_state(self.directory)
        else:
            await backend.stop(None)
        started = await backend.start(StartRequest(definition=definition, settings=self.settings(), plan=request.plan))
        write_state(self.directory, started)
        return started

    def _reason_to_restart(self, state: StackState, definition: StackDefinition, backend: str) -> str:
        if state.backend != backend:
            return f"it is up with the backend {state.backend}: restarting with {backend}"
        if state.definition != definition.digest:
            return "its definition has changed: restarting"
        return "it is up, but not healthy or not seeded as it should be: restarting"

    async def _up_soon(
        self, state: StackState | None, definition: StackDefinition, settings: Settings
    ) -> UpResult | None:
        """A server that was killed may be brought back within a second or two: its data are worth that wait."""
        if result := self._already_up(state, definition, settings):
            return result
        if state is None or not self._is_current(state, definition) or not self._backend(state.backend).recovers(state):
            return None

        async def healthy() -> bool:
            return self._health_of(state) is not None

        await wait_until(healthy, Deadline.after(_RECOVERY_SECONDS), interval=0.1)
        return self._already_up(state, definition, settings)

    def _already_up(self, state: StackState | None, definition: StackDefinition, settings: Settings) -> UpResult | None:
        """Asks the running stack's own monitor: no driver is loaded, so this takes milliseconds."""
        if state is None or not self._is_current(state, definition):
            return None
        health = self._health_of(state)
        if health is None or not _seed_is_current(health, settings):
            return None
        return UpResult(state=state, started=False, health=health)

    def _is_current(self, state: StackState, definition: StackDefinition) -> bool:
        return state.definition == definition.digest and self.backend in {"auto", state.backend}

    def _health_of(self, state: StackState) -> Mapping[str, Any] | None:
        """What the monitor says if it is healthy, this stack's own, and still true."""
        health = fetch_health(state.endpoints.monitor)
        if not health or health.get("status") != "healthy" or health.get("stack_id") != state.stack_id:
            return None
        if float(health.get("probe_age_seconds") or 0) > _FRESH_SECONDS or not _all_accept(state.endpoints):
            return None
        return health

    async def down(self, *, force: bool = False) -> bool:
        """End everything that belongs to the stack and forget it. Returns whether there was anything.

        Works without a state file, and with one that cannot be read: every backend is asked for leftovers.

        Raises:
            StackBusy: tests are running on it, and ``force`` is not set.
        """
        async with self._lock("down") as lock:
            try:
                state = read_state(self.directory)
            except SettingsError:
                state = None
            found = state is not None
            if state:
                await self._leave(state, force=force)
            for name in ("native", "compose"):
                mine = state if state and state.backend == name else None
                if mine or name == "native" or _engine_answers():
                    found |= await self._backend(name).stop(mine)
            remove_state(self.directory)
            lock.forget()
        return found

    async def _leave(self, state: StackState, *, force: bool) -> None:
        """Servers that somebody else runs go on running, so what tests left there is dropped."""
        from test_framework.stack.sessions import reclaim_all, refuse_live_sessions

        if not force:
            await refuse_live_sessions(state.endpoints)
        if state.backend == "external":
            report = await reclaim_all(state.endpoints, timeout=self.settings().query_timeout)
            for failure in report.failures:
                self.report("", f"not reclaimed: {failure}")

    async def seed(self, *, force: bool) -> SeedReport:
        """Bring the running stack's seed up to date; ``force`` loads it again although nothing has changed.

        Raises:
            FrameworkError: nothing is up, a fixture cannot be loaded, or clients use the data that would be replaced.
        """
        from test_framework.seeding import build_plan, seed_all
        from test_framework.stack.backend import describe_step

        self.published()
        async with self._lock("seed"):
            state, settings = self.published(), self.settings()
            return await seed_all(
                settings.endpoints,
                build_plan(settings),
                stack_id=state.stack_id,
                force=force,
                progress=lambda step: self.report("test-seeder", describe_step(step)),
                timeout=settings.startup_timeout,
            )

    def logs(self, service: str, lines: int) -> str:
        """The last ``lines`` lines of one service.

        Raises:
            SettingsError: nothing is up.
        """
        state = self.published()
        return self._backend(state.backend).logs(state, service, lines)

    def published(self) -> StackState:
        """What the running stack published.

        Raises:
            SettingsError: nothing is up.
        """
        state = read_state(self.directory)
        if state is None:
            raise SettingsError(
                f"the stack {self.name!r} is not up", where=str(self.directory), fix="run 'make test-up'"
            )
        return state

    def _backend(self, name: str) -> Backend:
        from test_framework.stack.choice import make_backend

        return make_backend(name, self.name, self.variables, self.report)

    def _lock(self, action: str) -> StackLock:
        return StackLock(self.directory, f"test-framework {action}", _LOCK_PATIENCE, lambda text: self.report("", text))


def _engine_answers() -> bool:
    from test_framework.stack.engine import find_engine

    return find_engine().problem is None


def _all_accept(endpoints: Endpoints) -> bool:
    """The monitor's last answer may be from before a server died; asking the sockets costs nothing."""
    for each in (endpoints.postgres, endpoints.redis, endpoints.clickhouse):
        try:
            socket.create_connection((each.host, each.port), timeout=1.0).close()
        except OSError:
            return False
    return True


def _seed_is_current(health: Mapping[str, Any], settings: Settings) -> bool:
    from test_framework.seeding import build_plan

    plan = build_plan(settings)
    services: Mapping[str, Any] = health.get("services") or {}
    return all(
        ((services.get(name) or {}).get("seed") or {}).get("checksum") == plan.checksums[name]
        for name in ("postgres", "redis", "clickhouse")
    )
