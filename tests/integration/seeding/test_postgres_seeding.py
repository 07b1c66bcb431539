"""What only PostgreSQL's part of seeding promises: templates, clones, sessions in the way."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest

from test_framework.endpoints import Endpoints, PostgresEndpoint
from test_framework.errors import ServiceUnavailable, StackBusy
from test_framework.seeding import Plan, SeedReport, seed_all
from test_framework.services.postgres.client import connect
from test_framework.services.postgres.control import advisory_key, open_control, seed_lock, template_name
from test_framework.services.postgres.databases import clone_database
from test_framework.waiting import Deadline
from tests.integration.seeding.looking import databases, postgres_connection, postgres_rows, templates
from tests.seeds import plan_of, small_plan


async def seed(postgres: PostgresEndpoint, plan: Plan, *, force: bool = False, timeout: float = 60.0) -> SeedReport:
    return await seed_all(Endpoints(postgres=postgres), plan.only("postgres"), force=force, timeout=timeout)


def sql_plan(folder: Path, *scripts: str) -> Plan:
    return plan_of(folder, {f"postgres/{number:02}.sql": text for number, text in enumerate(scripts, 1)})


async def test_the_template_is_sealed_and_named_by_the_checksum(postgres: PostgresEndpoint, tmp_path: Path) -> None:
    plan = small_plan(tmp_path, 1)
    await seed(postgres, plan)
    name = template_name(plan.checksum_of("postgres"), postgres.user)
    row = f"SELECT datistemplate, datallowconn FROM pg_database WHERE datname = '{name}'"
    assert await postgres_rows(postgres, row) == [(True, False)]
    assert await templates(postgres) == [name]


async def test_a_clone_of_the_template_holds_the_seed_and_its_settings(
    postgres: PostgresEndpoint, tmp_path: Path
) -> None:
    setting = "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET datestyle = ''German''', current_database()); END $$;"
    plan = sql_plan(tmp_path, "CREATE SCHEMA auth; CREATE TABLE auth.t (v int); INSERT INTO t VALUES (3);" + setting)
    await seed(postgres, plan)
    async with connect(postgres, database="postgres", timeout=5.0) as connection:
        await clone_database(connection, template_name(plan.checksum_of("postgres"), postgres.user), "work_clone")
    for database in (postgres.database, "work_clone"):
        found = await postgres_rows(
            postgres, "SELECT v, current_setting('search_path'), current_setting('datestyle') FROM t", database=database
        )
        assert found == [(3, "auth, backend, analytics, public", "German, DMY")]


async def test_a_session_in_the_working_database_is_named_and_not_disturbed(
    postgres: PostgresEndpoint, tmp_path: Path
) -> None:
    await seed(postgres, small_plan(tmp_path / "1", 1))
    async with connect(postgres, timeout=5.0, application="a-client") as client:
        with pytest.raises(StackBusy, match="in use") as caught:
            await seed(postgres, small_plan(tmp_path / "2", 2))
        assert f"test-framework:a-client (pid {client.get_server_pid()}, 127.0.0.1)" in str(caught.value)
        assert await client.fetchval("SELECT v FROM t") == 1


async def test_force_ends_the_sessions_in_the_way(postgres: PostgresEndpoint, tmp_path: Path) -> None:
    await seed(postgres, small_plan(tmp_path / "1", 1))
    client = await postgres_connection(postgres)
    await seed(postgres, small_plan(tmp_path / "2", 2), force=True)
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await client.fetchval("SELECT 1")
    assert await postgres_rows(postgres, "SELECT v FROM t") == [(2,)]


async def test_a_client_that_is_just_leaving_stops_nothing(postgres: PostgresEndpoint, tmp_path: Path) -> None:
    await seed(postgres, small_plan(tmp_path / "1", 1))
    client = await postgres_connection(postgres)
    leaving = asyncio.get_running_loop().call_later(0.3, client.terminate)
    await seed(postgres, small_plan(tmp_path / "2", 2))
    leaving.cancel()
    assert await postgres_rows(postgres, "SELECT v FROM t") == [(2,)]


async def test_a_template_that_nobody_names_goes_and_one_that_a_session_holds_stays(
    postgres: PostgresEndpoint, tmp_path: Path
) -> None:
    plans = [small_plan(tmp_path / str(value), value) for value in (1, 2, 3)]
    names = [template_name(plan.checksum_of("postgres"), postgres.user) for plan in plans]
    await seed(postgres, plans[0])
    async with open_control(postgres, 5.0, application="session") as session:
        await session.execute("SELECT pg_advisory_lock_shared($1)", advisory_key(f"template:{names[0]}"))
        await seed(postgres, plans[1])
        assert await templates(postgres) == sorted(names[:2])
        async with connect(postgres, database="postgres", timeout=5.0) as connection:
            await clone_database(connection, names[0], "work_old")
    await seed(postgres, plans[2])
    assert await templates(postgres) == [names[2]]


async def test_a_template_that_another_working_database_comes_from_stays(
    postgres: PostgresEndpoint, tmp_path: Path
) -> None:
    other = replace(postgres, database=f"{postgres.database}_b")
    await seed(postgres, small_plan(tmp_path / "1", 1))
    await seed(other, small_plan(tmp_path / "2", 2))
    assert len(await templates(postgres)) == 2


async def test_a_seed_that_was_loaded_before_comes_from_its_template(
    postgres: PostgresEndpoint, tmp_path: Path
) -> None:
    plan = small_plan(tmp_path, 1)
    await seed(postgres, plan)
    await postgres_rows(postgres, f'DROP DATABASE "{postgres.database}"', database="postgres")
    oid = f"SELECT oid FROM pg_database WHERE datname = '{template_name(plan.checksum_of('postgres'), postgres.user)}'"
    before = await postgres_rows(postgres, oid, database="postgres")
    assert (await seed(postgres, plan)).loaded
    assert await postgres_rows(postgres, oid) == before
    assert await postgres_rows(postgres, "SELECT v FROM t") == [(1,)]


async def test_a_lost_template_is_built_again(postgres: PostgresEndpoint, tmp_path: Path) -> None:
    plan = small_plan(tmp_path, 1)
    await seed(postgres, plan)
    (name,) = await templates(postgres)
    await postgres_rows(postgres, f'ALTER DATABASE "{name}" IS_TEMPLATE false', database="postgres")
    await postgres_rows(postgres, f'DROP DATABASE "{name}"', database="postgres")
    assert (await seed(postgres, plan)).loaded
    assert await templates(postgres) == [name]


async def test_a_seeder_that_waits_too_long_names_the_one_that_holds_the_lock(
    postgres: PostgresEndpoint, tmp_path: Path
) -> None:
    async with seed_lock(postgres, Deadline.after(5.0)):
        with pytest.raises(StackBusy, match=r"test-framework:seeder \(pid \d+"):
            await seed(postgres, small_plan(tmp_path, 1), timeout=0.3)


async def test_a_role_that_may_not_create_databases_is_told_what_it_lacks(
    postgres: PostgresEndpoint, tmp_path: Path
) -> None:
    user = f"plain_{postgres.database}"
    superuser = replace(postgres, user="postgres", password=type(postgres.password)("pg-superuser-canary-4711"))
    await postgres_rows(superuser, f"CREATE ROLE {user} LOGIN PASSWORD 'x'", database="postgres")
    try:
        with pytest.raises(ServiceUnavailable, match=r"may not create databases(.|\n)*ALTER ROLE .*CREATEDB"):
            await seed(replace(postgres, user=user, password=type(postgres.password)("x")), small_plan(tmp_path, 1))
    finally:
        await postgres_rows(superuser, f"DROP ROLE {user}", database="postgres")


async def test_sequences_stand_behind_the_highest_number_loaded(postgres: PostgresEndpoint, tmp_path: Path) -> None:
    plan = plan_of(
        tmp_path,
        {
            "postgres/01.sql": "CREATE TABLE a (id serial, n int); INSERT INTO a (n) VALUES (1), (2);"
            " CREATE TABLE b (id int GENERATED ALWAYS AS IDENTITY, n int); CREATE TABLE c (id bigserial);",
            "postgres/02_b.csv": "id,n\n41,1\n7,2\n",
            "postgres/03_b.json": '[{"id": 50, "n": 3}]',
        },
    )
    await seed(postgres, plan)
    nexts = [
        await postgres_rows(postgres, f"INSERT INTO {table} RETURNING id")
        for table in ("a (n) VALUES (1)", "b (n) VALUES (1)", "c DEFAULT VALUES")
    ]
    assert nexts == [[(3,)], [(51,)], [(1,)]]


async def test_rows_arrive_as_they_are_written(postgres: PostgresEndpoint, tmp_path: Path) -> None:
    plan = plan_of(
        tmp_path,
        {
            "postgres/01.sql": "CREATE SCHEMA s;"
            """ CREATE TABLE s."T" (a int, "b c" text DEFAULT 'd', j jsonb, n numeric, l int[]);""",
            "postgres/02_s.T.csv": '\ufeffa,b c,j\r\n1,"x, ""y""\nz",\r\n2,,"{""k"": [1]}"\r\n\r\n',
            "postgres/03_s.T.json": '[{"a": 3, "j": {"k": "\\u00e9"}, "n": 12345678901234567890.10},'
            ' {"a": 4, "l": [1, null]}]',
            "postgres/04_s.T.jsonl": '{"a": 5, "b c": null}\n',
            "postgres/05.sql": 'COPY s."T" (a, "b c") FROM stdin;\n6\ttab\\tbed\n7\t\\N\n\\.\n',
        },
    )
    report = await seed(postgres, plan)
    assert await postgres_rows(postgres, 'SELECT a, "b c", j::text, n::text, l FROM s."T" ORDER BY a') == [
        (1, 'x, "y"\nz', None, None, None),
        (2, None, '{"k": [1]}', None, None),
        (3, "d", '{"k": "é"}', "12345678901234567890.10", None),
        (4, "d", None, None, [1, None]),
        (5, None, None, None, None),
        (6, "tab\tbed", None, None, None),
        (7, None, None, None, None),
    ]
    assert report.services["postgres"].counts == {"s.T": 7}


async def test_what_one_script_sets_is_not_the_next_ones_business(postgres: PostgresEndpoint, tmp_path: Path) -> None:
    first = "CREATE SCHEMA s; SET search_path = s; SET timezone = 'Asia/Tokyo'; CREATE TEMP TABLE x ();"
    second = "CREATE TABLE t AS SELECT current_setting('timezone') AS v; CREATE TABLE x ();"
    await seed(postgres, sql_plan(tmp_path, first, second))
    assert await postgres_rows(postgres, "SELECT v FROM public.t WHERE v <> 'Asia/Tokyo'") != []
    assert await postgres_rows(postgres, "SELECT count(*) FROM public.x") == [(0,)]


async def test_nothing_private_is_left_behind(postgres: PostgresEndpoint, tmp_path: Path) -> None:
    for value in (1, 2):
        await seed(postgres, small_plan(tmp_path / str(value), value), force=True)
    left = [name for name in await databases(postgres) if name.startswith("tf_")]
    assert sorted(name.rpartition("_")[0] for name in left) == ["tf", "tf_template"]


async def test_what_a_killed_seeder_left_behind_goes_although_everything_is_seeded(
    postgres: PostgresEndpoint, tmp_path: Path
) -> None:
    plan = small_plan(tmp_path, 1)
    await seed(postgres, plan)
    for name in ("tf_old_0123456789abcdef", "tf_build_0123456789abcdef"):
        await postgres_rows(postgres, f"CREATE DATABASE {name}", database="postgres")
    assert not (await seed(postgres, plan)).loaded
    assert not [name for name in await databases(postgres) if name.startswith(("tf_old_", "tf_build_"))]
