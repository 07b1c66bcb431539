"""How the stack is: every server asked at once, and one verdict about the whole.

The readiness wait, ``test-framework status``, the monitor and its metrics all speak from one :class:`HealthReport`.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from test_framework.endpoints import Endpoints, Secret
from test_framework.services.base import Health, Probe, Service
from test_framework.services.registry import SERVICES

__all__ = ["SCHEMA", "HealthReport", "Overall", "Problem", "Reading", "count_leases", "probe_all", "probe_service"]

# Version of the JSON below: raised when a key is renamed, removed or changes its meaning, not when one is added.
SCHEMA = 1
# What a probe gets beyond its own timeout before it is given up: it reports better than we can from outside.
GRACE = 0.25


class Overall(StrEnum):
    """The verdict about the whole stack, worst first."""

    STARTING = "starting"  # not every server has been asked yet
    UNHEALTHY = "unhealthy"  # at least one server does not answer as it should
    NOT_SEEDED = "not_seeded"  # all answer, at least one holds no seed
    STACK_ID_MISMATCH = "stack_id_mismatch"  # all are seeded, but not as one stack
    HEALTHY = "healthy"


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing that is wrong, and what to type about it.

    Args:
        service: name of the server it is about; ``None`` for the whole stack.
    """

    service: str | None
    text: str
    fix: str


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A probe and when it was answered, in seconds of the monotonic clock."""

    probe: Probe
    at: float

    @property
    def age(self) -> float:
        """Seconds since the answer."""
        return max(0.0, time.monotonic() - self.at)

    @property
    def stack_id(self) -> str | None:
        """The identity the server bears; empty when it is seeded and bears none, ``None`` when it is not seeded."""
        return None if self.probe.seed is None else self.probe.seed.stack_id


@dataclass(frozen=True, kw_only=True)
class HealthReport:
    """The last answer of every server, and what they mean together.

    Args:
        readings: by service; fewer than all services while the first answers are still awaited.
        expected: the names of all services.
        stack_id: the identity all servers must bear; ``None``: they only have to agree with each other.
        previous_stack_id: the identity they agreed on before, so that a server that lost its data can be told from one
            that never had any.
        active_leases: namespaces that tests own at this moment; ``None`` where nobody counts them.
    """

    readings: tuple[Reading, ...]
    expected: tuple[str, ...]
    stack_id: str | None = None
    previous_stack_id: str | None = None
    active_leases: int | None = None

    @property
    def healthy(self) -> bool:
        """Every server answers, is seeded, and belongs to the same stack."""
        return self.status is Overall.HEALTHY

    @property
    def status(self) -> Overall:
        if len(self.readings) < len(self.expected):
            return Overall.STARTING
        if any(reading.probe.health is not Health.HEALTHY for reading in self.readings):
            return Overall.UNHEALTHY
        if any(reading.probe.seed is None for reading in self.readings):
            return Overall.NOT_SEEDED
        return Overall.STACK_ID_MISMATCH if self.agreed_stack_id is None else Overall.HEALTHY

    @property
    def agreed_stack_id(self) -> str | None:
        """The stack id that all seeded servers bear, provided that it is the expected one."""
        ids = {reading.stack_id for reading in self.readings if reading.stack_id is not None}
        if self.stack_id is not None:
            ids.add(self.stack_id)
        return ids.pop() or None if len(ids) == 1 else None

    @property
    def age(self) -> float | None:
        """Seconds since the oldest of the answers; ``None`` without any."""
        return max((reading.age for reading in self.readings), default=None)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Everything that keeps the stack from being healthy; empty when it is."""
        found = [problem for reading in self.readings if (problem := self._problem_of(reading.probe)) is not None]
        mismatch = self._mismatch()
        return (*found, *([mismatch] if mismatch else []))

    def _problem_of(self, probe: Probe) -> Problem | None:
        if probe.health is not Health.HEALTHY:
            text = f"test-{probe.service} at {probe.address} {_SAYS[probe.health]}"
            if probe.problem:
                text += f": {probe.problem}"
            return Problem(service=probe.service, text=text, fix=_FIXES[probe.health])
        if probe.seed is not None:
            return None
        text = f"test-{probe.service} at {probe.address} answers, and holds no seed data"
        if self.previous_stack_id:
            text += f": it was part of stack {self.previous_stack_id}, so it was emptied or restarted without its data"
        return Problem(service=probe.service, text=text, fix="make test-seed")

    def _mismatch(self) -> Problem | None:
        seeded = [reading for reading in self.readings if reading.stack_id is not None]
        if not seeded or self.agreed_stack_id is not None:
            return None
        bearers = ", ".join(f"test-{reading.probe.service} bears {reading.stack_id or 'none'}" for reading in seeded)
        text = f"the servers do not belong to one stack: {bearers}"
        if self.stack_id is not None:
            text += f"; expected {self.stack_id}"
        text += ". One was restarted with other data, or an address points at a foreign server"
        return Problem(service=None, text=text, fix="make test-seed, or make test-up if a port is another stack's")

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values, no secrets. Keys may be added within one ``schema``."""
        return {
            "schema": SCHEMA,
            "status": self.status.value,
            "healthy": self.healthy,
            "stack_id": self.agreed_stack_id,
            "probe_age_seconds": _rounded(self.age),
            "active_leases": self.active_leases,
            "problems": [{"service": p.service, "problem": p.text, "fix": p.fix} for p in self.problems],
            "services": {
                name: _service_dict(next((r for r in self.readings if r.probe.service == name), None))
                for name in self.expected
            },
        }

    def to_json(self) -> str:
        """:meth:`as_dict` as text on one line."""
        return json.dumps(self.as_dict())


_SAYS = {
    Health.UNREACHABLE: "cannot be reached",
    Health.UNRESPONSIVE: "accepts connections and does not answer in time",
    Health.REFUSED: "refuses the credentials",
    Health.FAILED: "answers with an error",
}
_FIXES = {
    Health.UNREACHABLE: "make test-up",
    Health.UNRESPONSIVE: "make test-logs",
    Health.REFUSED: "check the TEST_*_USER and TEST_*_PASSWORD variables, or make test-down test-up",
    Health.FAILED: "make test-logs",
}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _service_dict(reading: Reading | None) -> dict[str, Any]:
    if reading is None:
        return {"status": Overall.STARTING.value}
    probe, seed = reading.probe, reading.probe.seed
    return {
        "status": probe.health.value,
        "address": probe.address,
        "version": probe.version,
        "latency_ms": _rounded(probe.latency_ms),
        "memory_bytes": probe.memory_bytes,
        "connections": probe.connections,
        "probe_age_seconds": _rounded(reading.age),
        "problem": probe.problem,
        "seed": seed
        and {
            "stack_id": seed.stack_id,
            "checksum": seed.checksum,
            "loaded_at": datetime.fromtimestamp(seed.loaded_at, UTC).isoformat(timespec="milliseconds"),
            "files": dict(seed.files),
            "counts": dict(seed.counts),
        },
    }


async def probe_all(
    endpoints: Endpoints,
    *,
    timeout: float,
    stack_id: str | None = None,
    services: Sequence[Service] = SERVICES,
) -> HealthReport:
    """Ask all servers at once.

    Takes ``timeout`` seconds (and a fraction) at most, whatever the servers do: one that hangs is reported as
    unresponsive. Never raises because of a server. (Leases are counted afterwards, if Postgres just answered well.)

    Args:
        stack_id: the identity the stack published, which every server must bear.
    """
    readings = await asyncio.gather(*(probe_service(service, endpoints, timeout=timeout) for service in services))
    report = HealthReport(
        readings=tuple(readings),
        expected=tuple(service.name for service in services),
        stack_id=stack_id,
    )
    return replace(report, active_leases=await count_leases(report, endpoints, timeout=timeout))


async def count_leases(report: HealthReport, endpoints: Endpoints, *, timeout: float) -> int | None:
    """Namespaces that tests own now; ``None`` where nobody counts them, or Postgres is not fit to be asked."""
    postgres = next((reading for reading in report.readings if reading.probe.service == "postgres"), None)
    if postgres is None or not postgres.stack_id:
        return None  # without the stack's identity there is no control database either
    from test_framework.services.postgres.leases import count_active_leases  # loads the driver

    return await count_active_leases(endpoints.postgres, timeout=timeout)


async def probe_service(service: Service, endpoints: Endpoints, *, timeout: float) -> Reading:
    """Ask one server, for ``timeout`` seconds and a fraction at most, even when its driver ignores both."""
    address = getattr(endpoints, service.name).address
    task = asyncio.ensure_future(service.probe(endpoints, timeout))
    _running.add(task)
    task.add_done_callback(_forget)
    try:
        # Not wait_for: that waits until a cancelled driver has cleaned up, which against a stopped server can be long.
        await asyncio.wait([task], timeout=timeout + GRACE)
    finally:
        task.cancel()
    probe = _outcome(task, service.name, address)
    problem = None if probe.problem is None else _masked(probe.problem, _secrets_of(endpoints))
    return Reading(probe=replace(probe, problem=problem), at=time.monotonic())


def _outcome(task: asyncio.Future[Probe], service: str, address: str) -> Probe:
    if not task.done():
        return Probe(service=service, address=address, health=Health.UNRESPONSIVE, problem="no answer in time")
    if task.cancelled():
        return Probe(service=service, address=address, health=Health.FAILED, problem="the probe was cancelled")
    if (error := task.exception()) is not None:
        problem = f"{type(error).__name__}: {error}"
        return Probe(service=service, address=address, health=Health.FAILED, problem=problem)
    return task.result()


# The event loop holds only weak references to tasks; one that is still being cancelled must not vanish half way.
_running: set[asyncio.Future[Probe]] = set()


def _forget(task: asyncio.Future[Probe]) -> None:
    _running.discard(task)
    if not task.cancelled():
        task.exception()  # fetched, so that asyncio does not complain about an error nobody awaits


def _secrets_of(endpoints: Endpoints) -> Iterable[str]:
    for name in ("postgres", "redis", "clickhouse"):
        secret = getattr(endpoints, name).password
        if isinstance(secret, Secret) and secret:
            yield secret.reveal()


def _masked(text: str, secrets: Iterable[str]) -> str:
    """``text`` without the passwords: drivers quote what they were given, some servers too."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text
