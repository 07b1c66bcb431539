"""Seeding all three services: once, anew, and not at all when nothing has changed."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from test_framework.endpoints import Endpoints, Secret
from test_framework.errors import AuthenticationRefused, SeedError, ServiceUnavailable, SettingsError
from test_framework.seeding import SeedProgress, build_plan, seed_all
from test_framework.services.registry import SERVICES
from tests.integration.seeding.looking import postgres_rows, query_clickhouse, redis_client, snapshot, templates
from tests.seeds import Seeds, holding, plan_of, small_plan
from tests.servers import CLICKHOUSE_PASSWORD, POSTGRES_PASSWORD, REDIS_PASSWORD, free_port


async def test_after_seeding_every_service_holds_the_plan_and_says_so(endpoints: Endpoints, tmp_path: Path) -> None:
    plan = small_plan(tmp_path, 1)
    report = await seed_all(endpoints, plan)
    assert await snapshot(endpoints) == holding(1)
    probes = [await service.probe(endpoints, 5.0) for service in SERVICES]
    assert {probe.service: (probe.seed.checksum, probe.seed.stack_id) for probe in probes if probe.seed} == {
        name: (plan.checksum_of(name), report.stack_id) for name in plan.steps
    }
    assert report.loaded and {name: dict(each.counts) for name, each in report.services.items()} == {
        "postgres": {"public.t": 1},
        "redis": {"string": 1},
        "clickhouse": {"t": 1},
    }


async def test_a_second_run_with_unchanged_files_changes_nothing(endpoints: Endpoints, tmp_path: Path) -> None:
    await seed_all(endpoints, small_plan(tmp_path / "a", 1))
    before = [await service.seed_state(endpoints, 5.0) for service in SERVICES]
    steps: list[SeedProgress] = []
    report = await seed_all(endpoints, small_plan(tmp_path / "elsewhere", 1), progress=steps.append)
    assert (report.loaded, steps) == (False, [])
    assert [await service.seed_state(endpoints, 5.0) for service in SERVICES] == before


async def test_changed_files_replace_what_was_loaded(endpoints: Endpoints, tmp_path: Path) -> None:
    for value in (1, 2):
        await seed_all(endpoints, small_plan(tmp_path / str(value), value))
    assert await snapshot(endpoints) == holding(2)


async def test_only_the_service_whose_files_changed_is_loaded(endpoints: Endpoints, tmp_path: Path) -> None:
    first, second = small_plan(tmp_path / "1", 1), small_plan(tmp_path / "2", 2)
    mixed = {**first.steps, "redis": second.steps["redis"]}
    await seed_all(endpoints, first)
    report = await seed_all(endpoints, replace(first, steps=mixed).only(*mixed))
    assert {name: each.loaded for name, each in report.services.items()} == {
        "postgres": False,
        "redis": True,
        "clickhouse": False,
    }


async def test_force_loads_unchanged_files_again(endpoints: Endpoints, tmp_path: Path) -> None:
    plan = small_plan(tmp_path, 1)
    await seed_all(endpoints, plan)
    await postgres_rows(endpoints.postgres, "INSERT INTO t VALUES (7)")
    await query_clickhouse(endpoints.clickhouse, "INSERT INTO t VALUES (7)")
    async with redis_client(endpoints.redis) as client:
        await client.set("k", 7)
    steps: list[SeedProgress] = []
    report = await seed_all(endpoints, plan, force=True, progress=steps.append)
    assert (report.loaded, {step.service for step in steps}) == (True, {"postgres", "redis", "clickhouse"})
    assert await snapshot(endpoints) == holding(1)


async def test_the_identity_stays_unless_another_one_is_given(endpoints: Endpoints, tmp_path: Path) -> None:
    plan = small_plan(tmp_path / "1", 1)
    first = await seed_all(endpoints, plan)
    again = await seed_all(endpoints, small_plan(tmp_path / "2", 2))
    given = await seed_all(endpoints, small_plan(tmp_path / "2", 2), stack_id="given")
    states = [await service.seed_state(endpoints, 5.0) for service in SERVICES]
    assert (again.stack_id, given.stack_id, given.loaded) == (first.stack_id, "given", False)
    assert {state.stack_id for state in states if state} == {"given"}


async def test_a_service_that_lost_its_data_gets_it_back_under_the_same_identity(
    endpoints: Endpoints, tmp_path: Path
) -> None:
    plan = small_plan(tmp_path, 1)
    first = await seed_all(endpoints, plan)
    async with redis_client(endpoints.redis) as client:
        await client.flushdb()
    await query_clickhouse(
        endpoints.clickhouse, f"DROP DATABASE {endpoints.clickhouse.database} SYNC", database="default"
    )
    report = await seed_all(endpoints, plan)
    assert report.stack_id == first.stack_id
    assert await snapshot(endpoints) == holding(1)


async def test_a_file_that_cannot_be_loaded_leaves_the_other_services_seeded_and_its_own_as_it_was(
    endpoints: Endpoints, tmp_path: Path
) -> None:
    await seed_all(endpoints, small_plan(tmp_path / "1", 1))
    two = small_plan(tmp_path / "2", 2)
    bad = plan_of(tmp_path / "bad", {"postgres/01_t.sql": "CREATE TABLE t (v int);\nINSERT INTO nowhere VALUES (1);"})
    mixed = {**two.steps, "postgres": bad.steps["postgres"]}
    with pytest.raises(SeedError, match="nowhere"):
        await seed_all(endpoints, replace(two, steps=mixed).only(*mixed))
    assert await snapshot(endpoints) == {**holding(2), "postgres": [(1,)]}


async def test_several_services_that_fail_are_all_reported(endpoints: Endpoints, tmp_path: Path) -> None:
    plan = plan_of(tmp_path, {"postgres/01_x.sql": "SELECT * FROM nope", "clickhouse/01_x.sql": "SELECT * FROM nada"})
    with pytest.raises(SeedError) as caught:
        await seed_all(endpoints, plan)
    assert "nope" in str(caught.value) and "nada" in str(caught.value)


async def test_eight_seeders_at_once_load_once(endpoints: Endpoints, tmp_path: Path) -> None:
    plan = small_plan(tmp_path, 1)
    reports = await asyncio.gather(*(seed_all(endpoints, plan) for _ in range(8)))
    loads = [sum(report.services[name].loaded for report in reports) for name in plan.steps]
    assert (loads, len({report.stack_id for report in reports})) == ([1, 1, 1], 1)
    assert (await snapshot(endpoints), len(await templates(endpoints.postgres))) == (holding(1), 1)


async def test_whoever_waits_for_another_seeder_hears_who_it_is(endpoints: Endpoints, tmp_path: Path) -> None:
    steps: list[SeedProgress] = []
    plan = small_plan(tmp_path, 1)
    await asyncio.gather(*(seed_all(endpoints, plan, progress=steps.append) for _ in range(3)))
    assert [step.item for step in steps if not step.service and "test-framework:seeder" in step.item]


@pytest.mark.parametrize("service", ["postgres", "redis", "clickhouse"])
async def test_a_wrong_password_is_refused_at_once_and_never_shown(
    endpoints: Endpoints, tmp_path: Path, service: str
) -> None:
    wrong = replace(getattr(endpoints, service), password=Secret("wrong-canary-0815"))
    with pytest.raises(AuthenticationRefused) as caught:
        await seed_all(replace(endpoints, **{service: wrong}), small_plan(tmp_path, 1))
    shown = f"{caught.value} {caught.value!r} {caught.value.__cause__!r}"
    assert caught.value.service == f"test-{service}"
    assert not [secret for secret in (_SECRETS | {"wrong-canary-0815"}) if secret in shown]


_SECRETS = {POSTGRES_PASSWORD, REDIS_PASSWORD, CLICKHOUSE_PASSWORD}


@pytest.mark.parametrize("service", ["postgres", "redis", "clickhouse"])
async def test_a_server_that_is_not_there_is_named_with_its_address(
    endpoints: Endpoints, tmp_path: Path, service: str
) -> None:
    gone = replace(getattr(endpoints, service), port=free_port())
    with pytest.raises(ServiceUnavailable) as caught:
        await seed_all(replace(endpoints, **{service: gone}), small_plan(tmp_path, 1))
    assert (caught.value.service, gone.address in str(caught.value)) == (f"test-{service}", True)


@pytest.mark.parametrize("force", [False, True])
async def test_a_database_of_somebody_else_is_never_replaced(endpoints: Endpoints, tmp_path: Path, force: bool) -> None:
    await postgres_rows(endpoints.postgres, f"CREATE DATABASE {endpoints.postgres.database}", database="postgres")
    await postgres_rows(endpoints.postgres, "CREATE TABLE theirs (a int)")
    name = endpoints.clickhouse.database
    await query_clickhouse(endpoints.clickhouse, f"CREATE DATABASE {name}", database="default")
    await query_clickhouse(endpoints.clickhouse, "CREATE TABLE theirs (a Int8) ENGINE = Memory")
    async with redis_client(endpoints.redis) as client:
        await client.set("k", "theirs")
        for service in ("postgres", "redis", "clickhouse"):
            with pytest.raises((SettingsError, SeedError)):
                await seed_all(endpoints, small_plan(tmp_path, 1).only(service), force=force)
        assert await client.get("k") == "theirs"
    assert await postgres_rows(endpoints.postgres, "SELECT count(*) FROM theirs") == [(0,)]
    assert await query_clickhouse(
        endpoints.clickhouse, "SELECT name FROM system.tables WHERE database = currentDatabase()"
    ) == [["theirs"]]


async def test_an_empty_database_that_somebody_made_for_us_is_used(endpoints: Endpoints, tmp_path: Path) -> None:
    await postgres_rows(endpoints.postgres, f"CREATE DATABASE {endpoints.postgres.database}", database="postgres")
    await query_clickhouse(endpoints.clickhouse, f"CREATE DATABASE {endpoints.clickhouse.database}", database="default")
    await seed_all(endpoints, small_plan(tmp_path, 1))
    assert await snapshot(endpoints) == holding(1)


RESERVED = {"postgres": ["tf_control", "postgres", "template1"], "clickhouse": ["tf_control", "default", "system"]}


@pytest.mark.parametrize(("service", "name"), [(service, name) for service in RESERVED for name in RESERVED[service]])
async def test_databases_that_servers_need_are_refused(
    endpoints: Endpoints, tmp_path: Path, service: str, name: str
) -> None:
    there = replace(endpoints, **{service: replace(getattr(endpoints, service), database=name)})
    with pytest.raises(SettingsError, match="not ours to replace"):
        await seed_all(there, small_plan(tmp_path, 1).only(service))


INJECTIONS = [
    'x"; DROP TABLE t; --',
    "x'; DROP TABLE t; --",
    "x`; DROP TABLE t; --",
    "x\\",
    "ü ; %s {v:Int32} $1",
    "select",
]


@pytest.mark.parametrize("name", INJECTIONS)
async def test_no_name_of_a_database_or_table_is_ever_run_as_sql(
    endpoints: Endpoints, tmp_path: Path, name: str
) -> None:
    pg_name, ch_name = '"' + name.replace('"', '""') + '"', "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"
    endpoints = replace(
        endpoints,
        postgres=replace(endpoints.postgres, database=f"work_{name}"),
        clickhouse=replace(endpoints.clickhouse, database=f"work_{name}"),
    )
    plan = plan_of(
        tmp_path,
        {
            "postgres/01_t.sql": f"CREATE TABLE t (v int); INSERT INTO t VALUES (1); CREATE TABLE {pg_name} (a int)",
            f"postgres/02_{name}.csv": "a\n5\n",
            f"postgres/03_{name}.json": '[{"a": 6}]',
            "clickhouse/01_t.sql": f"CREATE TABLE t (v Int32) ENGINE = Memory; INSERT INTO t VALUES (1);"
            f"CREATE TABLE {ch_name} (a Int32) ENGINE = Memory",
            f"clickhouse/02_{name}.csv": "a\n5\n",
            "redis/01_k.yaml": "k: {type: string, value: 1}",
        },
    )
    try:
        await seed_all(endpoints, plan)
        assert await snapshot(endpoints) == holding(1)
        assert await postgres_rows(endpoints.postgres, f"SELECT a FROM {pg_name} ORDER BY a") == [(5,), (6,)]
        assert await query_clickhouse(endpoints.clickhouse, f"SELECT a FROM {ch_name}") == [[5]]
    finally:
        await query_clickhouse(
            endpoints.clickhouse,
            f"DROP DATABASE IF EXISTS {ch_name.replace('`', '`work_', 1)} SYNC",
            database="default",
        )


async def test_the_shipped_seed_is_a_small_company_whose_people_are_the_same_everywhere(
    endpoints: Endpoints, tmp_path: Path
) -> None:
    report = await seed_all(endpoints, build_plan(Seeds(project_dir=tmp_path)))
    counts = report.services["postgres"].counts
    assert counts["auth.users"] >= 50 and counts["backend.organizations"] == 5
    assert all(
        counts[f"backend.{table}"] for table in ("organization_memberships", "agents", "conversations", "messages")
    )
    assert await postgres_rows(endpoints.postgres, "SELECT id FROM users WHERE email = 'test@example.com'") == []
    users = {str(user) for (user,) in await postgres_rows(endpoints.postgres, "SELECT id FROM users")}
    ((rows, days, months, first, last),) = await query_clickhouse(
        endpoints.clickhouse,
        "SELECT toUInt32(count()), toUInt32(uniqExact(toDate(event_time))),"
        " toUInt32(uniqExact(toYYYYMM(event_time))), min(event_time), max(event_time) FROM user_events",
    )
    assert (rows >= 100_000, days, months, first[:10], last[:10]) == (True, 90, 3, "2025-04-02", "2025-06-30")
    seen = await query_clickhouse(endpoints.clickhouse, "SELECT DISTINCT toString(user_id) FROM user_events")
    assert {user for (user,) in seen} == users
    async with redis_client(endpoints.redis) as client:
        sessions = [await client.hget(key, "user_id") for key in await client.keys("session:*")]
        kinds = {await client.type(key) for key in await client.keys("*") if not key.startswith("test-framework:")}
    assert sessions and set(sessions) <= users
    assert kinds == {"string", "hash", "list", "set", "zset", "stream"}


TABLES = ("auth.users", "auth.sessions", "backend.organizations", "backend.agents", "backend.messages")


async def test_the_shipped_seed_is_the_same_every_time(endpoints: Endpoints, tmp_path: Path) -> None:
    plan = build_plan(Seeds(project_dir=tmp_path))
    digests = []
    for _ in range(2):
        await seed_all(endpoints, plan, force=True)
        events = "SELECT sum(cityHash64(*)), count() FROM user_events"
        usage = "SELECT sum(cityHash64(*)), count() FROM agent_usage"
        people = "SELECT md5(string_agg(t::text, '' ORDER BY t.id)) FROM {} AS t"
        digests.append(
            [
                await query_clickhouse(endpoints.clickhouse, events),
                await query_clickhouse(endpoints.clickhouse, usage),
                *[await postgres_rows(endpoints.postgres, people.format(table)) for table in TABLES],
            ]
        )
    assert digests[0] == digests[1]
    assert not [answer for answer in digests[0] if "None" in str(answer)]


async def test_a_user_needs_nothing_but_an_address(endpoints: Endpoints, tmp_path: Path) -> None:
    await seed_all(endpoints, build_plan(Seeds(project_dir=tmp_path)).only("postgres"))
    rows = await postgres_rows(
        endpoints.postgres,
        "INSERT INTO users (email) VALUES ('test@example.com') RETURNING id IS NOT NULL, is_active, name",
    )
    assert rows == [(True, True, "")]
    assert await postgres_rows(endpoints.postgres, "SHOW search_path") == [("auth, backend, analytics, public",)]
