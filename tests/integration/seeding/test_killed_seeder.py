"""A seeder killed at any point: nobody sees half a seed, and the next run puts everything right."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from test_framework.endpoints import Endpoints
from test_framework.seeding import seed_all
from test_framework.services.registry import service_named
from tests.integration.seeding.looking import databases, postgres_rows, query_clickhouse, snapshot, templates
from tests.seeds import holding, plan_of

ROWS = 3


def seed_files(value: int) -> dict[str, str | bytes]:
    """Several statements and files, so that there is an in-between to be killed in."""
    inserts = "".join(f"INSERT INTO t VALUES ({value});\n" for _ in range(ROWS - 1))
    return {
        "postgres/01_t.sql": f"CREATE TABLE t (v int);\n{inserts}",
        "postgres/02_t.csv": f"v\n{value}\n",
        "redis/01_k.yaml": f"k: {{type: string, value: {value}}}\nk{value}: {{type: string, value: {value}}}",
        "clickhouse/01_t.sql": f"CREATE TABLE t (v Int32) ENGINE = MergeTree ORDER BY v;\n{inserts}",
        "clickhouse/02_t.csv": f"v\n{value}\n",
    }


def seeded(value: int) -> dict[str, object]:
    found = holding(value)
    rows = [(value,)] * ROWS
    return {**found, "postgres": rows, "clickhouse": rows, "redis": {"k": str(value), f"k{value}": str(value)}}


class Killer:
    """The process that forks seeders which die."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def seed(self, number: int, mode: str, folder: Path, endpoints: Endpoints) -> int:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(f"{number} {mode} {folder} {json.dumps(endpoints.as_dict())}\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


@pytest.fixture(scope="module")
def killer() -> Iterator[Killer]:
    command = [sys.executable, "-m", "tests.integration.seeding.killed"]
    root = Path(__file__).parents[3]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root) as process:
        yield Killer(process)
        assert process.stdin is not None
        process.stdin.close()


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("mode", "first", "step"), [("before", 1, 2), ("before", 2, 2), ("during", 2, 6)])
async def test_a_seeder_killed_at_any_statement_leaves_old_or_new_and_the_next_one_finishes(
    endpoints: Endpoints, tmp_path: Path, killer: Killer, mode: str, first: int, step: int
) -> None:
    plans = [plan_of(tmp_path / str(value), seed_files(value)) for value in (1, 2)]
    await seed_all(endpoints, plans[0])
    killed = 0
    # Nothing changes between two statements, so "before" all of them is every state there is; "during" takes samples.
    for number in range(first, 500, step):
        new = 2 - killed % 2
        if killer.seed(number, mode, tmp_path / str(new), endpoints) == 0:
            break
        killed += 1
        await assert_old_or_new(endpoints)
        await seed_all(endpoints, plans[new - 1])
        assert await snapshot(endpoints) == seeded(new), f"after the repair of kill {number}"
        assert await clickhouse_databases(endpoints) == {endpoints.clickhouse.database}, f"after kill {number}"
        left = [name for name in await databases(endpoints.postgres) if name.startswith(("tf_build_", "tf_old_"))]
        assert left == [], f"after the repair of kill {number}"
    assert killed > 24 / step


async def clickhouse_databases(endpoints: Endpoints) -> set[str]:
    rows = await query_clickhouse(endpoints.clickhouse, "SELECT name FROM system.databases", database="default")
    return {name for (name,) in rows if endpoints.clickhouse.database in name}


async def assert_old_or_new(endpoints: Endpoints) -> None:
    found = await snapshot(endpoints)
    assert found["postgres"] in (seeded(1)["postgres"], seeded(2)["postgres"])
    assert found["redis"] in (seeded(1)["redis"], seeded(2)["redis"])
    for template in await templates(endpoints.postgres):
        sealed = f"SELECT datistemplate AND NOT datallowconn FROM pg_database WHERE datname = '{template}'"
        if await postgres_rows(endpoints.postgres, sealed) == [(True,)]:
            create = f'CREATE DATABASE work_copy TEMPLATE "{template}" STRATEGY FILE_COPY'
            await postgres_rows(endpoints.postgres, create, database="postgres")
            rows = await postgres_rows(endpoints.postgres, "SELECT v FROM t", database="work_copy")
            await postgres_rows(endpoints.postgres, "DROP DATABASE work_copy WITH (FORCE)", database="postgres")
            assert rows in (seeded(1)["postgres"], seeded(2)["postgres"])
    # ClickHouse cannot swap two databases at once: what is not complete is there, and says that it is nothing.
    if await service_named("clickhouse").seed_state(endpoints, 5.0) is not None:
        assert found["clickhouse"] in (seeded(1)["clickhouse"], seeded(2)["clickhouse"])
