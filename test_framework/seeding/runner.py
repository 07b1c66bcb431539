"""Carry out a plan: all services at once, one process at a time, nothing when it is all there already."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext

from test_framework.endpoints import Endpoints
from test_framework.errors import FrameworkError
from test_framework.seeding.plan import Plan, build_plan
from test_framework.seeding.report import SeedProgress, SeedReport, ServiceReport
from test_framework.services.base import Health, Probe, SeedOutcome, SeedRequest, SeedState, Service
from test_framework.services.registry import SERVICES
from test_framework.settings import Settings
from test_framework.waiting import Deadline, wait_until

__all__ = ["run", "seed_all"]

OnProgress = Callable[[SeedProgress], None]
_PROBE_TIMEOUT = 2.0


async def run(
    settings: Settings,
    *,
    stack_id: str | None = None,
    force: bool = False,
    progress: OnProgress | None = None,
) -> SeedReport:
    """Wait for the servers that ``settings`` name, then make them hold what ``settings`` say.

    Raises:
        SeedError: a fixture cannot be loaded; every service holds what it held before.
        ServiceUnavailable: a server is not there within ``settings.startup_timeout`` seconds.
        FrameworkError: anything else :func:`seed_all` raises.
    """
    deadline = Deadline.after(settings.startup_timeout)
    plan = build_plan(settings)
    await asyncio.gather(*(_wait_for(service, settings.endpoints, deadline) for service in SERVICES))
    return await seed_all(
        settings.endpoints, plan, stack_id=stack_id, force=force, progress=progress, timeout=deadline.seconds
    )


async def _wait_for(service: Service, endpoints: Endpoints, deadline: Deadline) -> None:
    last: Probe | None = None

    async def answered() -> bool:
        nonlocal last
        last = await service.probe(endpoints, _PROBE_TIMEOUT)
        return last.health in (Health.HEALTHY, Health.REFUSED)  # waiting does not help a wrong password

    await wait_until(answered, deadline)
    if last is None or last.health is not Health.HEALTHY:
        await service.seed_state(endpoints, _PROBE_TIMEOUT)  # raises what is wrong, and says what to do about it


async def seed_all(
    endpoints: Endpoints,
    plan: Plan,
    *,
    stack_id: str | None = None,
    force: bool = False,
    progress: OnProgress | None = None,
    timeout: float = 60.0,
) -> SeedReport:
    """Make all servers hold ``plan``, concurrently; with unchanged files that is one question to each.

    Args:
        stack_id: identity to write; ``None`` keeps the one that is there, or makes a random one.
        force: load again what is there already, and end the sessions that are in the way.
        progress: called after each step.
        timeout: seconds for all of it.

    Raises:
        SeedError: a fixture cannot be loaded; that service holds what it held before.
        StackBusy: another seeder is at work for too long, or sessions use the database.
        ServiceUnavailable: a server is not there.
    """
    deadline = Deadline.after(timeout)
    started = time.perf_counter()
    tell = progress or (lambda _: None)
    states = await _states(endpoints, plan, deadline)
    identity = stack_id or _known_identity(states)
    if not force and identity and all(_matches(service, states, plan, identity) for service in plan.services):
        outcomes = {name: SeedOutcome(state=state, loaded=False) for name, state in states.items() if state}
        return _report(plan, identity, outcomes, {}, started)
    if force or not all(_holds(service, states, plan) for service in plan.services):
        plan.check()

    def waiting(holder: str) -> None:
        tell(SeedProgress(service="", item=f"another seeder is at work: {holder}", rows=0, seconds=0.0))

    async with _lock(endpoints, plan, deadline, waiting):
        identity = stack_id or _known_identity(await _states(endpoints, plan, deadline)) or secrets.token_hex(8)
        outcomes, seconds = await _Seeding(endpoints, plan, identity, tell, deadline, force=force).all_services()
    return _report(plan, identity, outcomes, seconds, started)


def _lock(
    endpoints: Endpoints, plan: Plan, deadline: Deadline, waiting: Callable[[str], None]
) -> AbstractAsyncContextManager[None]:
    """Postgres is who decides, for all three. A plan without it has nobody to ask; Redis then decides for itself."""
    if "postgres" not in plan.steps:
        return nullcontext()
    from test_framework.services.postgres.control import seed_lock

    return seed_lock(endpoints.postgres, deadline, waiting)


async def _states(endpoints: Endpoints, plan: Plan, deadline: Deadline) -> dict[str, SeedState | None]:
    answers = await asyncio.gather(
        *(service.seed_state(endpoints, deadline.remaining) for service in plan.services), return_exceptions=True
    )
    _raise_first(answers)
    return {
        service.name: answer if isinstance(answer, SeedState) else None
        for service, answer in zip(plan.services, answers, strict=True)
    }


def _known_identity(states: dict[str, SeedState | None]) -> str | None:
    return next((state.stack_id for state in states.values() if state and state.stack_id), None)


def _holds(service: Service, states: dict[str, SeedState | None], plan: Plan) -> bool:
    state = states[service.name]
    return state is not None and state.checksum == plan.checksums[service.name]


def _matches(service: Service, states: dict[str, SeedState | None], plan: Plan, identity: str) -> bool:
    state = states[service.name]
    return state is not None and _holds(service, states, plan) and state.stack_id == identity and state.tidy


class _Seeding:
    """One pass over all services, under the lock."""

    def __init__(
        self, endpoints: Endpoints, plan: Plan, identity: str, tell: OnProgress, deadline: Deadline, *, force: bool
    ) -> None:
        self._endpoints = endpoints
        self._plan = plan
        self._identity = identity
        self._force = force
        self._tell = tell
        self._deadline = deadline

    async def all_services(self) -> tuple[dict[str, SeedOutcome], dict[str, float]]:
        """Every service to its end, also when another fails: each is atomic by itself."""
        answers = await asyncio.gather(*(self._one(service) for service in self._plan.services), return_exceptions=True)
        _raise_first(answers)
        pairs = [answer for answer in answers if not isinstance(answer, BaseException)]
        names = [service.name for service in self._plan.services]
        return (
            {name: outcome for name, (outcome, _) in zip(names, pairs, strict=True)},
            {name: seconds for name, (_, seconds) in zip(names, pairs, strict=True)},
        )

    async def _one(self, service: Service) -> tuple[SeedOutcome, float]:
        started = time.perf_counter()

        def step(item: str, rows: int, seconds: float) -> None:
            self._tell(SeedProgress(service=service.name, item=item, rows=rows, seconds=seconds))

        request = SeedRequest(
            steps=self._plan.steps[service.name],
            checksum=self._plan.checksums[service.name],
            stack_id=self._identity,
            progress=step,
            force=self._force,
        )
        outcome = await service.seed(self._endpoints, request, self._deadline.remaining)
        return outcome, time.perf_counter() - started


def _raise_first(answers: Sequence[object]) -> None:
    """Raise what went wrong; with several, one error that tells all of it, of the kind of the first."""
    errors = [answer for answer in answers if isinstance(answer, BaseException)]
    unexpected = [error for error in errors if not isinstance(error, FrameworkError)]
    if unexpected:
        raise unexpected[0]
    if len(errors) == 1:
        raise errors[0]
    if errors:
        first = errors[0]
        others = "\n".join(str(error) for error in errors[1:])
        assert isinstance(first, FrameworkError)  # the others were raised above
        first.cause = f"{first.cause}\nand\n{others}" if first.cause else f"and\n{others}"
        raise first


def _report(
    plan: Plan, identity: str, outcomes: dict[str, SeedOutcome], seconds: dict[str, float], started: float
) -> SeedReport:
    services = {
        name: ServiceReport(
            loaded=outcome.loaded,
            seconds=seconds.get(name, 0.0),
            checksum=outcome.state.checksum,
            files=outcome.state.files,
            counts=outcome.state.counts,
        )
        for name, outcome in outcomes.items()
    }
    return SeedReport(
        stack_id=identity, checksum=plan.checksum, seconds=time.perf_counter() - started, services=services
    )
