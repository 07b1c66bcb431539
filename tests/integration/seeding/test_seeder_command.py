"""``python -m seeder``: what it prints, and what it ends with."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from test_framework.endpoints import Endpoints
from tests.integration.seeding.looking import databases, snapshot
from tests.seeds import holding, small_plan, write_files
from tests.servers import free_port

ROOT = Path(__file__).parents[3]


def environment(endpoints: Endpoints, folder: Path, **others: str) -> dict[str, str]:
    postgres, redis, clickhouse = endpoints.postgres, endpoints.redis, endpoints.clickhouse
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "HOME": str(folder),
        "TEST_POSTGRES_HOST": postgres.host,
        "TEST_POSTGRES_PORT": str(postgres.port),
        "TEST_POSTGRES_PASSWORD": postgres.password.reveal(),
        "TEST_POSTGRES_DB": postgres.database,
        "TEST_REDIS_HOST": redis.host,
        "TEST_REDIS_PORT": str(redis.port),
        "TEST_REDIS_PASSWORD": redis.password.reveal(),
        "TEST_CLICKHOUSE_HOST": clickhouse.host,
        "TEST_CLICKHOUSE_HTTP_PORT": str(clickhouse.port),
        "TEST_CLICKHOUSE_PASSWORD": clickhouse.password.reveal(),
        "TEST_CLICKHOUSE_DB": clickhouse.database,
        "TEST_FIXTURES_DIR": str(folder),
        "TEST_SERVICE_STARTUP_TIMEOUT": "20",
        **others,
    }


def run(*arguments: str, folder: Path, variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "seeder", *arguments]
    return subprocess.run(command, env=variables, cwd=folder, capture_output=True, text=True, timeout=60)


async def test_it_seeds_says_each_step_and_ends_with_0(endpoints: Endpoints, tmp_path: Path) -> None:
    # The command uses Redis' database 0, as the stack does.
    endpoints = Endpoints(
        postgres=endpoints.postgres,
        clickhouse=endpoints.clickhouse,
        redis=type(endpoints.redis).from_dict({**endpoints.redis.as_dict(), "database": 0}),
    )
    folder = tmp_path / "seeds"
    small_plan(folder, 4)
    variables = environment(endpoints, folder, TEST_STACK_ID="stack-4711")
    first = run(folder=tmp_path, variables=variables)
    assert (first.returncode, first.stderr) == (0, "")
    assert "seeds/postgres/01_t.sql: 1 rows in" in first.stdout and "\nseeded (" in first.stdout
    again = run("--json", folder=tmp_path, variables=variables)
    report = json.loads(again.stdout)
    assert (again.returncode, report["loaded"], report["stack_id"]) == (0, False, "stack-4711")
    forced = run("--force", folder=tmp_path, variables=variables)
    assert "seeds/redis/01_k.yaml: 1 rows in" in forced.stdout
    assert await snapshot(endpoints) == holding(4)


async def test_a_bad_file_ends_it_with_5_and_a_message_without_a_traceback(
    endpoints: Endpoints, tmp_path: Path
) -> None:
    folder = write_files(
        tmp_path / "seeds", {"postgres/01.sql": "SELECT 1;\nSELEKT 2;", "redis/": "", "clickhouse/": ""}
    )
    ended = run(folder=tmp_path, variables=environment(endpoints, folder))
    assert (ended.returncode, "01.sql:2" in ended.stderr, "Traceback" in ended.stderr) == (5, True, False)


async def test_a_server_that_never_comes_ends_it_with_4_after_the_time_allowed(
    endpoints: Endpoints, tmp_path: Path
) -> None:
    small_plan(tmp_path / "seeds", 1)
    variables = environment(endpoints, tmp_path / "seeds", TEST_REDIS_PORT=str(free_port()))
    ended = run(folder=tmp_path, variables={**variables, "TEST_SERVICE_STARTUP_TIMEOUT": "0.5"})
    assert (ended.returncode, f"redis at {endpoints.redis.host}:" in ended.stderr) == (4, True)


async def test_an_interrupted_seeding_leaves_nothing_behind(endpoints: Endpoints, tmp_path: Path) -> None:
    folder = write_files(tmp_path / "seeds", {"postgres/": "", "redis/": "", "clickhouse/": ""})
    variables = environment(endpoints, folder, TEST_MIGRATE_COMMAND="sh -c 'touch started; sleep 1000'")
    command = [sys.executable, "-m", "seeder"]
    with subprocess.Popen(command, env=variables, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        while not (tmp_path / "started").exists():
            await asyncio.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (130, "")
    assert not [name for name in await databases(endpoints.postgres) if name.startswith("tf_build_")]


async def test_a_wrong_password_ends_it_at_once_and_is_not_shown(endpoints: Endpoints, tmp_path: Path) -> None:
    small_plan(tmp_path / "seeds", 1)
    wrong = environment(endpoints, tmp_path / "seeds", TEST_POSTGRES_PASSWORD="wrong-canary-0815")
    ended = run(folder=tmp_path, variables={**wrong, "TEST_SERVICE_STARTUP_TIMEOUT": "3600"})
    assert (ended.returncode, "TEST_POSTGRES_PASSWORD" in ended.stderr) == (4, True)
    assert "wrong-canary-0815" not in ended.stdout + ended.stderr
