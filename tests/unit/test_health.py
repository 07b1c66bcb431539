"""What the answers of the servers mean together. The servers are scripted here: only the verdict is under test."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from test_framework.endpoints import Endpoints, PostgresEndpoint, Secret
from test_framework.health import HealthReport, Overall, Reading, probe_all, probe_service
from test_framework.services.base import Health, Probe
from tests.scripted import Scripted, answering, hanging, probe, seed

NAMES = ("postgres", "redis", "clickhouse")
# No Postgres among them: these tests are about the verdict, and nobody shall go and count leases.
OTHERS = ("redis", "clickhouse", "redis")


def report(*probes: Probe, **options: str | None) -> HealthReport:
    now = time.monotonic()
    readings = tuple(Reading(probe=one, at=now) for one in probes)
    return HealthReport(readings=readings, expected=NAMES, **options)  # type: ignore[arg-type]


def three(*stack_ids: str | None) -> list[Probe]:
    return [
        probe(name, seed=None if stack_id is None else seed(stack_id))
        for name, stack_id in zip(NAMES, stack_ids, strict=True)
    ]


def test_a_stack_whose_servers_all_answer_and_bear_one_stack_id_is_healthy() -> None:
    found = report(*three("a", "a", "a"))
    assert (found.healthy, found.status, found.problems) == (True, Overall.HEALTHY, ())
    assert found.agreed_stack_id == "a"


@pytest.mark.parametrize("answered", [0, 1, 2])
def test_a_stack_is_starting_until_every_server_was_asked(answered: int) -> None:
    found = report(*three("a", "a", "a")[:answered])
    assert (found.healthy, found.status) == (False, Overall.STARTING)


@pytest.mark.parametrize("health", [health for health in Health if health is not Health.HEALTHY])
@pytest.mark.parametrize("at", range(3))
def test_one_server_that_is_not_healthy_makes_the_stack_unhealthy_and_is_named(health: Health, at: int) -> None:
    probes = three("a", "a", "a")
    probes[at] = replace(probes[at], health=health, seed=None, problem="it said so")
    found = report(*probes)
    (problem,) = found.problems
    assert (found.healthy, found.status) == (False, Overall.UNHEALTHY)
    assert problem.service == NAMES[at]
    assert f"test-{NAMES[at]} at {NAMES[at]}.test:1" in problem.text
    assert "it said so" in problem.text
    assert "make" in problem.fix


@pytest.mark.parametrize("at", range(3))
def test_one_server_without_seed_data_makes_the_stack_not_seeded(at: int) -> None:
    ids: list[str | None] = ["a", "a", "a"]
    ids[at] = None
    found = report(*three(*ids))
    (problem,) = found.problems
    assert found.status is Overall.NOT_SEEDED
    assert (problem.service, problem.fix) == (NAMES[at], "make test-seed")


def test_a_server_that_lost_its_seed_data_is_told_from_one_that_never_had_any() -> None:
    lost = report(*three("a", None, "a"), previous_stack_id="a").problems[0].text
    never = report(*three("a", None, "a")).problems[0].text
    assert "it was part of stack a" in lost
    assert "part of stack" not in never


def test_servers_of_different_stacks_are_a_mismatch_that_names_who_bears_what() -> None:
    found = report(*three("a", "b", "a"))
    (problem,) = found.problems
    assert (found.status, found.agreed_stack_id) == (Overall.STACK_ID_MISMATCH, None)
    assert "test-postgres bears a, test-redis bears b, test-clickhouse bears a" in problem.text
    assert "make test-seed" in problem.fix


def test_three_servers_that_agree_on_a_foreign_stack_id_are_a_mismatch() -> None:
    found = report(*three("b", "b", "b"), stack_id="a")
    assert found.status is Overall.STACK_ID_MISMATCH
    assert "expected a" in found.problems[0].text


def test_three_servers_that_bear_no_stack_id_at_all_do_not_agree() -> None:
    assert report(*three("", "", "")).status is Overall.STACK_ID_MISMATCH


@given(
    st.lists(
        st.tuples(st.sampled_from(Health), st.one_of(st.none(), st.sampled_from(["", "a", "b"]))),
        min_size=3,
        max_size=3,
    )
)
def test_a_stack_is_healthy_exactly_when_it_has_no_problem(servers: list[tuple[Health, str | None]]) -> None:
    probes = [
        probe(name, health=health, seed=None if stack_id is None else seed(stack_id))
        for name, (health, stack_id) in zip(NAMES, servers, strict=True)
    ]
    found = report(*probes)
    assert found.healthy == (not found.problems)
    assert found.healthy == all(server == (Health.HEALTHY, "a") for server in servers) or all(
        server == (Health.HEALTHY, "b") for server in servers
    )
    assert json.loads(found.to_json())["status"] == found.status.value


def test_the_age_of_a_report_is_that_of_its_oldest_answer() -> None:
    now = time.monotonic()
    readings = tuple(
        Reading(probe=one, at=now - back) for one, back in zip(three("a", "a", "a"), (5, 60, 0), strict=True)
    )
    age = HealthReport(readings=readings, expected=NAMES).age
    assert age is not None
    assert age >= 60
    assert HealthReport(readings=(), expected=NAMES).age is None


def test_the_json_has_a_schema_version_and_these_keys() -> None:
    values = json.loads(report(*three("a", "a", "a")[:2]).to_json())
    assert values["schema"] == 1
    assert set(values) == {
        "schema",
        "status",
        "healthy",
        "stack_id",
        "probe_age_seconds",
        "active_leases",
        "problems",
        "services",
    }
    assert list(values["services"]) == list(NAMES)
    assert values["services"]["clickhouse"] == {"status": "starting"}
    assert set(values["services"]["postgres"]) == {
        "status",
        "address",
        "version",
        "latency_ms",
        "memory_bytes",
        "connections",
        "probe_age_seconds",
        "problem",
        "seed",
    }
    assert values["services"]["postgres"]["seed"] == {
        "stack_id": "a",
        "checksum": "c0ffee",
        "loaded_at": "1970-01-01T00:00:01.000+00:00",
        "files": {"a.sql": "f00"},
        "counts": {"users": 50},
    }


async def test_all_servers_are_asked_before_any_has_answered() -> None:
    everyone = asyncio.Barrier(3)

    def waiting(name: str) -> Scripted:
        async def with_the_others() -> Probe:
            await everyone.wait()
            return probe(name, seed=seed())

        return Scripted(name, with_the_others)

    found = await probe_all(Endpoints(), timeout=30.0, services=[waiting(name) for name in OTHERS])  # type: ignore[misc]
    assert found.status is Overall.HEALTHY


async def test_a_driver_that_ignores_its_timeout_and_its_cancellation_is_unresponsive_and_spoils_no_other_answer() -> (
    None
):
    services = [answering("redis"), hanging("clickhouse")]
    found = await probe_all(Endpoints(), timeout=0.05, services=services)  # type: ignore[arg-type]
    healths = {reading.probe.service: reading.probe.health for reading in found.readings}
    assert healths == {"redis": Health.HEALTHY, "clickhouse": Health.UNRESPONSIVE}
    assert found.status is Overall.UNHEALTHY


async def test_a_probe_that_raises_becomes_a_failed_answer() -> None:
    async def broken() -> Probe:
        raise RuntimeError("out of cheese")

    reading = await probe_service(Scripted("redis", broken), Endpoints(), timeout=5.0)  # type: ignore[arg-type]
    assert reading.probe.health is Health.FAILED
    assert reading.probe.problem == "RuntimeError: out of cheese"


async def test_a_password_that_a_driver_quotes_is_masked() -> None:
    endpoints = Endpoints(postgres=PostgresEndpoint(password=Secret("canary-4711")))
    quoting = probe("redis", health=Health.FAILED)
    quoting = replace(quoting, problem="cannot parse postgresql://me:canary-4711@host/db")
    reading = await probe_service(answering("redis", quoting), endpoints, timeout=5.0)  # type: ignore[arg-type]
    assert reading.probe.problem == "cannot parse postgresql://me:***@host/db"
