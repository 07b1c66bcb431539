"""Asks the servers again and again, and remembers their last answers."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Sequence

from test_framework.endpoints import Endpoints
from test_framework.health import HealthReport, Overall, Reading, count_leases, probe_service
from test_framework.services.base import Health, Service
from test_framework.services.registry import SERVICES

__all__ = ["Watch"]

logger = logging.getLogger("monitor")


class Watch:
    """One loop per server, so that one that hangs delays no other's answer.

    Until the stack is healthy for the first time the servers are asked more often than every ``interval`` seconds,
    because ``up`` is waiting for that moment; afterwards never more often.

    Args:
        interval: seconds between two probes of one server.
        timeout: seconds a server has to answer.
        stack_id: the identity every server must bear; ``None``: they only have to agree with each other.
        services: whom to ask.
    """

    # Seconds since the start, and the pause between probes until then.
    _EAGER = ((10.0, 0.05), (60.0, 0.25))

    def __init__(
        self,
        endpoints: Endpoints,
        *,
        interval: float,
        timeout: float,
        stack_id: str | None = None,
        services: Sequence[Service] = SERVICES,
    ) -> None:
        self.probes: Counter[str] = Counter()
        self.failures: Counter[tuple[str, Health]] = Counter()
        self._endpoints = endpoints
        self._interval = interval
        self._timeout = timeout
        self._services = tuple(services)
        self._readings: dict[str, Reading] = {}
        self._leases: int | None = None
        self._started = time.monotonic()
        self._expected = stack_id
        self._seen: str | None = None  # the stack id of the last healthy moment
        self._said = Overall.STARTING

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(service.name for service in self._services)

    def report(self) -> HealthReport:
        """What the last answers mean. Asks nobody, so it is there at once."""
        return HealthReport(
            readings=tuple(self._readings[name] for name in self.names if name in self._readings),
            expected=self.names,
            stack_id=self._expected,
            previous_stack_id=self._seen,
            active_leases=self._leases,
        )

    async def run(self) -> None:
        """Watch until cancelled."""
        async with asyncio.TaskGroup() as group:
            for service in self._services:
                group.create_task(self._watch(service))
            group.create_task(self._watch_leases())

    async def _watch(self, service: Service) -> None:
        while True:
            asked = time.monotonic()
            self._remember(await probe_service(service, self._endpoints, timeout=self._timeout))
            await asyncio.sleep(max(0.0, asked + self._pause() - time.monotonic()))

    async def _watch_leases(self) -> None:
        while True:
            self._leases = await count_leases(self.report(), self._endpoints, timeout=self._timeout)
            await asyncio.sleep(self._interval)

    def _pause(self) -> float:
        if self._seen is None:
            since = time.monotonic() - self._started
            for until, pause in self._EAGER:
                if since < until:
                    return min(pause, self._interval)
        return self._interval

    def _remember(self, reading: Reading) -> None:
        probe = reading.probe
        self._readings[probe.service] = reading
        self.probes[probe.service] += 1
        if probe.health is not Health.HEALTHY:
            self.failures[probe.service, probe.health] += 1
        report = self.report()
        if report.healthy:
            self._seen = report.agreed_stack_id
        self._say(report)

    def _say(self, report: HealthReport) -> None:
        """One log line per change, not per probe."""
        status = report.status
        if status is self._said:
            return
        self._said = status
        reasons = "; ".join(problem.text for problem in report.problems)
        logger.info("%s%s", status.value, f": {reasons}" if reasons else "")
