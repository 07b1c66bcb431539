"""The native backend: the same servers as processes, under one supervisor, in one run directory on tmpfs."""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from test_framework.endpoints import Endpoints, PostgresEndpoint
from test_framework.errors import BackendUnavailable, ServiceUnavailable
from test_framework.seeding import seed_all
from test_framework.services.base import Probe, SeedRequest, Service
from test_framework.services.postgres import POSTGRES
from test_framework.services.registry import SERVICES
from test_framework.settings import Variables, state_directory_of
from test_framework.stack.addresses import check_ports, choose_addresses, endpoints_at, published_ports
from test_framework.stack.backend import Report, StartRequest, describe_seed, describe_step, log_tail
from test_framework.stack.binaries import Binaries, find_binaries
from test_framework.stack.cluster import PreparedCluster
from test_framework.stack.commands import check_commands, unused_keys
from test_framework.stack.monitor_client import wait_for_monitor
from test_framework.stack.native_servers import NativeServers
from test_framework.stack.packages import find_installer
from test_framework.stack.run_directory import (
    MARKER,
    check_space,
    create_run_directory,
    find_run_directories,
    is_run_directory,
    remove_run_directory,
)
from test_framework.stack.supervisor import Supervisor
from test_framework.state import StackState
from test_framework.waiting import Deadline, wait_until

__all__ = ["NativeBackend", "ensure_binaries"]

# Longer than supervisor gives a server before it kills it.
_STOP_PATIENCE = 8.0


@dataclass(frozen=True, kw_only=True)
class NativeBackend:
    """Processes of this machine. See :class:`~test_framework.stack.backend.Backend`."""

    stack_name: str
    variables: Variables
    report: Report
    name: str = "native"

    def preflight(self, request: StartRequest, running: StackState | None) -> None:
        definition = request.definition
        binaries = ensure_binaries(self.variables, self.report)
        check_ports(definition, held=published_ports(running))
        held = Path(running.run_dir) if running and running.run_dir else None
        check_space(definition.tmpfs_bytes, self.variables, held=held)
        check_commands(definition, binaries)

    async def start(self, request: StartRequest) -> StackState:
        definition = request.definition
        for place, what in unused_keys(definition):
            self.report("", f"warning: {place}: {what} has no effect on the native backend")
        binaries = ensure_binaries(self.variables, self.report)
        endpoints = endpoints_at(definition, choose_addresses(definition))
        owner = state_directory_of(self.variables)
        run_dir = create_run_directory(self.stack_name, owner, definition.tmpfs_bytes, self.variables)
        servers = NativeServers(
            definition=definition,
            binaries=binaries,
            run_dir=run_dir,
            endpoints=endpoints,
            stack_id=secrets.token_hex(8),
        )
        try:
            versions = await _Start(request=request, servers=servers, report=self.report).run()
        except BaseException:
            # Also on Ctrl-C: whatever was started is ours alone, and nobody else has heard of it yet.
            self._remove(run_dir)
            raise
        return StackState(
            stack_name=self.stack_name,
            backend=self.name,
            stack_id=servers.stack_id,
            definition=definition.digest,
            project_dir=str(request.settings.project_dir),
            started_at=time.time(),
            endpoints=endpoints,
            versions=versions,
            run_dir=str(run_dir),
        )

    async def stop(self, state: StackState | None) -> bool:
        found = find_run_directories(self.stack_name, state_directory_of(self.variables), self.variables)
        if state and state.run_dir and Path(state.run_dir) not in found:
            known = Path(state.run_dir)
            # A state file may be old, or edited: nothing is deleted that we did not make.
            if is_run_directory(known, self.stack_name, state_directory_of(self.variables)):
                found.append(known)
        for run_dir in found:
            self.report("", f"stopping the servers in {run_dir}")
            self._remove(run_dir)
        return bool(found)

    def _remove(self, run_dir: Path) -> None:
        Supervisor(run_dir).shutdown(_STOP_PATIENCE)
        remove_run_directory(run_dir)

    def recovers(self, state: StackState) -> bool:
        return state.run_dir is not None and Supervisor(Path(state.run_dir)).pid() is not None

    def logs(self, state: StackState, service: str, lines: int) -> str:
        if not state.run_dir:
            return ""
        if service == "test-seeder":
            return ""
        return log_tail(Supervisor(Path(state.run_dir)).log(service), lines)


@dataclass(frozen=True, kw_only=True)
class _Start:
    """One start, from prepared programs to a healthy stack."""

    request: StartRequest
    servers: NativeServers
    report: Report

    @property
    def _supervisor(self) -> Supervisor:
        return Supervisor(self.servers.run_dir)

    async def run(self) -> dict[str, str]:
        """Start, seed and wait; returns versions by service."""
        servers, supervisor = self.servers, self._supervisor
        deadline = Deadline.after(self.request.settings.startup_timeout)
        servers.prepare()
        supervisor.launch(servers.programs(), {MARKER: str(servers.run_dir), **servers.environment()})
        # The slowest first; the cluster is copied while it starts.
        for name in ("test-clickhouse", "test-redis"):
            supervisor.start(name)
        await self._cluster().copy_to(
            servers.run_dir / "postgres", servers.run_dir, lambda text: self.report("test-postgres", text)
        )
        for name in ("test-postgres", "test-monitor"):
            supervisor.start(name)
        probes = await _all_or_first_error([self._wait(service, deadline) for service in SERVICES])
        await self._seed()
        self.report("test-monitor", "waiting for its first healthy answer")
        first_pid: list[int] = []
        await wait_for_monitor(
            servers.endpoints.monitor,
            deadline,
            log=lambda: log_tail(supervisor.log("test-monitor")),
            check_alive=lambda: self._check_alive("test-monitor", first_pid),
        )
        self.report("test-monitor", "healthy")
        return {probe.service: probe.version or "" for probe in probes}

    def _cluster(self) -> PreparedCluster:
        servers = self.servers
        postgres, initdb = servers.binaries.postgres, servers.binaries.initdb
        assert postgres is not None
        assert initdb is not None
        return PreparedCluster(
            postgres=postgres,
            initdb=initdb,
            images=servers.images / "postgres",
            endpoint=servers.endpoints.postgres,
            seed_checksum=self.request.plan.checksums["postgres"],
            seed=self._seed_cluster,
        )

    async def _seed_cluster(self, endpoint: PostgresEndpoint) -> None:
        plan = self.request.plan
        plan.check()
        seconds = self.request.settings.startup_timeout
        await wait_until(lambda: _answers(POSTGRES, Endpoints(postgres=endpoint)), Deadline.after(seconds))
        request = SeedRequest(
            steps=plan.steps["postgres"],
            checksum=plan.checksums["postgres"],
            stack_id="",
            progress=lambda item, rows, _: self.report("test-postgres", f"preparing: {item}, {rows} rows"),
        )
        await POSTGRES.seed(Endpoints(postgres=endpoint), request, seconds)

    async def _seed(self) -> None:
        self.report("test-seeder", "seeding")
        settings = self.request.settings
        result = await seed_all(
            self.servers.endpoints,
            self.request.plan,
            stack_id=self.servers.stack_id,
            progress=lambda step: self.report("test-seeder", describe_step(step)),
            timeout=settings.startup_timeout,
        )
        self.report("test-seeder", f"done: {describe_seed(result)}")

    async def _wait(self, service: Service, deadline: Deadline) -> Probe:
        name, endpoints = service.compose_name, self.servers.endpoints
        self.report(name, "starting")
        last: list[Probe] = []
        first_pid: list[int] = []

        async def check() -> Probe | None:
            last[:] = [await service.probe(endpoints, min(2.0, max(0.1, deadline.remaining)))]
            if last[0].health == "healthy":
                return last[0]
            self._check_alive(name, first_pid)
            return None

        probe = await wait_until(check, deadline, interval=0.03)
        if probe is None:
            raise ServiceUnavailable(
                f"{name} is not healthy after {deadline.seconds:.0f} s",
                service=name,
                where=last[0].address,
                cause=f"last answer: {last[0].health}: {last[0].problem}",
                fix="look at its log below; raise TEST_SERVICE_STARTUP_TIMEOUT if it is only slow",
                log_tail=log_tail(self._supervisor.log(name)),
            )
        self.report(name, f"healthy (version {probe.version})")
        return probe

    def _check_alive(self, name: str, first_pid: list[int]) -> None:
        """Waiting on for a server that died is pointless: it would only die again."""
        supervisor = self._supervisor
        info: dict[str, Any] = supervisor.states().get(name, {})
        first_pid[:] = first_pid or ([info["pid"]] if info.get("pid") else [])
        restarted = bool(first_pid) and info.get("pid") not in {0, first_pid[0]}
        if restarted or info.get("statename") in {"EXITED", "FATAL", "BACKOFF"}:
            raise ServiceUnavailable(
                f"{name} ended while it was starting",
                service=name,
                where=str(supervisor.run_dir),
                cause=info.get("spawnerr") or f"exit status {info.get('exitstatus')}",
                fix="its log below says why; flags come from the override file",
                log_tail=log_tail(supervisor.log(name)),
            )


async def _answers(service: Service, endpoints: Endpoints) -> bool:
    return (await service.probe(endpoints, 2.0)).health == "healthy"


async def _all_or_first_error(waits: list[Any]) -> list[Probe]:
    """Everything together; the first error ends the other waits."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(wait) for wait in waits]
    except* Exception as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]


def ensure_binaries(variables: Variables, report: Report) -> Binaries:
    """Find the servers' programs, installing what is missing when we may.

    Raises:
        BackendUnavailable: something is missing and cannot be installed; the message holds the command to type.
    """
    binaries = find_binaries(variables)
    missing = binaries.missing
    if not missing:
        return binaries
    packaged = [name for name in missing if name != "clickhouse"]
    installer = find_installer()
    if installer and installer.allowed and packaged:
        installer.install(packaged, lambda text: report("", text))
        binaries = find_binaries(variables)
        missing = binaries.missing
        if not missing:
            return binaries
    raise BackendUnavailable(
        f"the native backend lacks {', '.join(missing)}",
        where=os.environ.get("PATH", ""),
        cause="; ".join(binaries.rejected) or None,
        fix=_advice(missing, installer.advice(packaged) if installer and packaged else None),
    )


def _advice(missing: tuple[str, ...], command: str | None) -> str:
    steps = [command] if command else []
    if "clickhouse" in missing:
        steps.append("pip install 'real-service-test-framework[embedded]'")
    if not steps:
        steps.append("install PostgreSQL 15 and Redis 7 with this machine's package manager, or use Docker")
    return "; ".join(steps)
