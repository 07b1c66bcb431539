"""The external backend: servers that somebody else runs. We check, seed and publish them, and never stop them."""

from __future__ import annotations

import ipaddress
import secrets
import time
from dataclasses import dataclass

from test_framework.endpoints import Endpoints
from test_framework.errors import ServiceUnavailable, SettingsError
from test_framework.seeding import seed_all
from test_framework.services.base import Health, Probe, Service
from test_framework.services.registry import SERVICES
from test_framework.settings import Variables
from test_framework.stack.backend import Report, StartRequest, describe_seed
from test_framework.state import StackState
from test_framework.waiting import Deadline, wait_until

__all__ = ["ExternalBackend"]


@dataclass(frozen=True, kw_only=True)
class ExternalBackend:
    """Servers named by the settings. See :class:`~test_framework.stack.backend.Backend`."""

    stack_name: str
    variables: Variables
    report: Report
    name: str = "external"

    def preflight(self, request: StartRequest, running: StackState | None) -> None:
        _refuse_remote(request.settings.endpoints, self.variables.text("TEST_ALLOW_REMOTE", ""))

    async def start(self, request: StartRequest) -> StackState:
        settings, endpoints = request.settings, request.settings.endpoints
        _refuse_remote(endpoints, self.variables.text("TEST_ALLOW_REMOTE", ""))
        deadline = Deadline.after(settings.startup_timeout)
        probes = [await self._wait(service, endpoints, deadline) for service in SERVICES]
        known = {probe.seed.stack_id for probe in probes if probe.seed}
        stack_id = known.pop() if len(known) == 1 else secrets.token_hex(8)
        self.report("test-seeder", "seeding")
        result = await seed_all(endpoints, request.plan, stack_id=stack_id, timeout=settings.startup_timeout)
        self.report("test-seeder", f"done: {describe_seed(result)}")
        return StackState(
            stack_name=self.stack_name,
            backend=self.name,
            stack_id=stack_id,
            definition="external",
            project_dir=str(settings.project_dir),
            started_at=time.time(),
            endpoints=endpoints,
            versions={probe.service: probe.version or "" for probe in probes},
        )

    async def _wait(self, service: Service, endpoints: Endpoints, deadline: Deadline) -> Probe:
        last: list[Probe] = []

        async def check() -> Probe | None:
            last[:] = [await service.probe(endpoints, min(2.0, max(0.1, deadline.remaining)))]
            if last[0].health is Health.REFUSED:
                raise _unavailable(last[0])
            return last[0] if last[0].health is Health.HEALTHY else None

        probe = await wait_until(check, deadline, interval=0.1)
        if probe is None:
            raise _unavailable(last[0])
        self.report(f"test-{probe.service}", f"healthy (version {probe.version})")
        return probe

    async def stop(self, state: StackState | None) -> bool:
        """Only our own record goes: the servers are somebody else's."""
        return state is not None

    def recovers(self, state: StackState) -> bool:
        return False

    def logs(self, state: StackState, service: str, lines: int) -> str:
        return ""


def _unavailable(probe: Probe) -> ServiceUnavailable:
    return ServiceUnavailable(
        f"the external {probe.service} server is {probe.health}",
        service=f"test-{probe.service}",
        where=probe.address,
        cause=probe.problem,
        fix=f"correct TEST_{probe.service.upper()}_HOST, its port or its credentials, or start the server",
    )


def _refuse_remote(endpoints: Endpoints, allowed: str) -> None:
    """Seeding replaces data: a server elsewhere must be named on purpose."""
    permitted = {name.strip() for name in allowed.split(",") if name.strip()}
    for name in ("postgres", "redis", "clickhouse"):
        host = getattr(endpoints, name).host
        if host not in permitted and not _is_loopback(host):
            raise SettingsError(
                f"refusing to seed {name} on {host}, which is not this machine",
                where=f"TEST_{name.upper()}_HOST",
                cause="the backend 'external' replaces the seed data of the servers it is pointed at",
                fix=f"if {host} is a server for tests, set TEST_ALLOW_REMOTE={host}",
            )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
