"""Fixture files that cannot be loaded: named with file, line and cause, and nothing of them is left."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from test_framework.endpoints import Endpoints
from test_framework.errors import SeedError
from test_framework.seeding import Plan, build_plan, seed_all
from test_framework.services.registry import SERVICES
from tests.integration.seeding.looking import databases, snapshot, templates
from tests.seeds import Seeds, holding, plan_of, small_plan, write_files

TABLE = "CREATE TABLE t (v int PRIMARY KEY, n text NOT NULL DEFAULT '', o int REFERENCES t);\n"
CH_TABLE = "CREATE TABLE t (v Int32, n String) ENGINE = MergeTree ORDER BY v;\n"

# Files, the place that the message must name, and words that it must hold.
CASES: dict[str, tuple[dict[str, str | bytes], str, str]] = {
    "malformed SQL": ({"postgres/01.sql": "SELECT 1;\n\nSELECT\n  1 +* 2 FROM;"}, "01.sql:4", "syntax error"),
    "unclosed quote": ({"postgres/01.sql": "SELECT 1;\nSELECT 'x;\n"}, "01.sql:2", "never closed"),
    "unknown table": (
        {"postgres/01.sql": "SELECT 1;\nINSERT INTO nope VALUES (1);"},
        "01.sql:2",
        '"nope" does not exist',
    ),
    "unknown column": ({"postgres/01.sql": TABLE + "INSERT INTO t\n (w) VALUES (1);"}, "01.sql:3", 'column "w"'),
    "error at run time": ({"postgres/01.sql": TABLE + "\nSELECT 1;\nSELECT 1/0;"}, "01.sql:4", "division by zero"),
    "broken constraint": (
        {"postgres/01.sql": TABLE + "INSERT INTO t VALUES (1);\nINSERT INTO t VALUES (1);"},
        "01.sql:3",
        "duplicate key",
    ),
    "error inside a block": (
        {"postgres/01.sql": "SELECT 1;\nDO $$\nBEGIN\n  RAISE 'boom';\nEND $$;"},
        "01.sql:2",
        "boom",
    ),
    "open transaction": ({"postgres/01.sql": "BEGIN; CREATE TABLE x (a int);"}, "01.sql", "never ends it"),
    "row of a dump": (
        {"postgres/01.sql": TABLE + "COPY t (v, n) FROM stdin;\n1\ta\nx\tb\n\\.\n"},
        "01.sql:4",
        "invalid input syntax",
    ),
    "CSV for an unknown table": ({"postgres/01_nope.csv": "a\n1\n"}, "01_nope.csv:1", '"nope" does not exist'),
    "CSV with an unknown column": (
        {"postgres/01.sql": TABLE, "postgres/02_t.csv": "v,w\n1,2\n"},
        "02_t.csv:1",
        'column "w"',
    ),
    "CSV with a wrong value": (
        {"postgres/01.sql": TABLE, "postgres/02_t.csv": "v,n\n1,a\n2,b\nx,c\n"},
        "02_t.csv:4",
        "invalid input syntax",
    ),
    "CSV with a duplicate": (
        {"postgres/01.sql": TABLE, "postgres/02_t.csv": "v,n\n1,a\n1,b\n"},
        "02_t.csv:3",
        "duplicate key",
    ),
    "CSV with a foreign key to nothing": (
        {"postgres/01.sql": TABLE, "postgres/02_t.csv": "v,o\n1,1\n2,1\n3,9\n"},
        "02_t.csv:4",
        "foreign key",
    ),
    "CSV with a short record": ({"postgres/02_t.csv": "v,n\n1,a\n2\n"}, "02_t.csv:3", "1 fields"),
    "JSON that is none": ({"postgres/02_t.json": '[\n{"v": 1},\n{"v" 2}]'}, "02_t.json:3", "not proper JSON"),
    "JSON with a wrong value": (
        {"postgres/01.sql": TABLE, "postgres/02_t.json": '[\n{"v": 1},\n{"v": 2},\n{"v": "x"}]'},
        "02_t.json:4",
        "invalid input syntax",
    ),
    "JSON lines with an unknown column": (
        {"postgres/01.sql": TABLE, "postgres/02_t.jsonl": '{"v": 1}\n{"v": 2, "w": 1}\n'},
        "02_t.jsonl:2",
        '"w"',
    ),
    "not UTF-8": ({"postgres/01.sql": "SELECT 1;\nSELECT 'é';".encode("latin-1")}, "01.sql:2", "not UTF-8"),
    "NUL": ({"postgres/01.sql": "SELECT 1;\n\0"}, "01.sql:2", "NUL"),
    "malformed YAML": ({"redis/01.yaml": "a: {type: string, value: 1}\nb: }"}, "01.yaml:2", "not proper YAML"),
    "unknown Redis type": ({"redis/01.yaml": "\na: {type: tree, value: 1}"}, "01.yaml:2", "no type 'tree'"),
    "malformed JSON for Redis": ({"redis/01.json": '{"a": {"type": "string"\n'}, "01.json:2", "not proper JSON"),
    "malformed ClickHouse SQL": ({"clickhouse/01.sql": "SELECT 1;\nSELECT\n 1 +* 2"}, "01.sql:3", "Syntax error"),
    "unknown ClickHouse table": ({"clickhouse/01.sql": "SELECT 1;\nINSERT INTO nope VALUES (1)"}, "01.sql:2", "nope"),
    "unknown ClickHouse column": ({"clickhouse/01.sql": CH_TABLE + "INSERT INTO t (w) VALUES (1)"}, "01.sql:2", "w"),
    "ClickHouse error at run time": (
        {"clickhouse/01.sql": CH_TABLE + "SELECT 1;\nSELECT throwIf(1, 'boom')"},
        "01.sql:3",
        "boom",
    ),
    "ClickHouse CSV for an unknown table": ({"clickhouse/01_nope.csv": "a\n1\n"}, "01_nope.csv:1", "nope"),
    "ClickHouse CSV with an unknown column": (
        {"clickhouse/01.sql": CH_TABLE, "clickhouse/02_t.csv": "v,w\n1,2\n"},
        "02_t.csv:1",
        "w",
    ),
    "ClickHouse CSV with a wrong value": (
        {"clickhouse/01.sql": CH_TABLE, "clickhouse/02_t.csv": 'v,n\n1,"a\nb"\nx,c\n'},
        "02_t.csv:4",
        "parse",
    ),
    "ClickHouse TSV with a wrong value": (
        {"clickhouse/01.sql": CH_TABLE, "clickhouse/02_t.tsv": "v\tn\n1\ta\nx\tc\n"},
        "02_t.tsv:3",
        "parse",
    ),
    "ClickHouse JSON with an unknown column": (
        {"clickhouse/01.sql": CH_TABLE, "clickhouse/02_t.jsonl": '{"v": 1}\n{"v": 2, "w": 1}\n'},
        "02_t.jsonl:2",
        "w",
    ),
    "ClickHouse JSON with a wrong value": (
        {"clickhouse/01.sql": CH_TABLE, "clickhouse/02_t.json": '[\n{"v": 1},\n\n{"v": "x"}]'},
        "02_t.json:4",
        "parse",
    ),
    "Parquet that is none": ({"clickhouse/02_t.parquet": b"PAR2"}, "02_t.parquet", "not Parquet"),
    "Native that is none": (
        {"clickhouse/01.sql": CH_TABLE, "clickhouse/02_t.native": b"\x01\x01garbage"},
        "02_t.native",
        "",
    ),
}


@pytest.mark.parametrize("case", CASES)
async def test_a_bad_file_is_named_with_its_line_and_the_previous_seed_stays(
    endpoints: Endpoints, tmp_path: Path, case: str
) -> None:
    files, place, words = CASES[case]
    service = next(iter(files)).split("/")[0]
    await seed_all(endpoints, small_plan(tmp_path / "good", 1))
    before = [await each.seed_state(endpoints, 5.0) for each in SERVICES]
    known = await templates(endpoints.postgres)
    with pytest.raises(SeedError) as caught:
        await seed_all(endpoints, plan_of(tmp_path / "bad", files).only(service))
    text = str(caught.value)
    assert text.splitlines()[1].endswith(f"/{service}/{place}") and words in text, text
    assert caught.value.exit_code == 5
    assert await snapshot(endpoints) == holding(1)
    assert [await each.seed_state(endpoints, 5.0) for each in SERVICES] == before
    assert await templates(endpoints.postgres) == known
    assert not [name for name in await databases(endpoints.postgres) if name.startswith(("tf_build_", "tf_old_"))]


def migrated(folder: Path, command: str, files: dict[str, str | bytes]) -> Plan:
    write_files(folder, files)
    return build_plan(Seeds(project_dir=folder, migrate_command=command)).only("postgres")


async def test_a_migration_that_fails_shows_its_output_without_the_password(
    endpoints: Endpoints, tmp_path: Path
) -> None:
    plan = migrated(tmp_path, "sh -c 'echo upgrading; echo $DATABASE_URL >&2; echo $PGPASSWORD; exit 3'", {})
    with pytest.raises(SeedError) as caught:
        await seed_all(endpoints, plan)
    text = str(caught.value)
    assert "ended with 3" in text and "upgrading" in text and "postgresql://test_user:***@" in text
    assert endpoints.postgres.password.reveal() not in text


async def test_a_migration_command_that_is_not_installed_is_named(endpoints: Endpoints, tmp_path: Path) -> None:
    with pytest.raises(SeedError, match="cannot be started: no-such-program upgrade"):
        await seed_all(endpoints, migrated(tmp_path, "no-such-program upgrade", {}))


async def test_a_migration_that_does_not_end_is_ended(endpoints: Endpoints, tmp_path: Path) -> None:
    plan = migrated(tmp_path, "sh -c 'echo $$ > pid; sleep 1000'", {})
    with pytest.raises(Exception, match=r"did not end within|no answer within"):
        await seed_all(endpoints, plan, timeout=1.5)
    pid = int((tmp_path / "pid").read_text())
    for _ in range(100):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            break
        await asyncio.sleep(0.05)
    else:
        pytest.fail("the command is still running")


async def test_a_migration_builds_the_database_that_it_finds_in_its_environment(
    endpoints: Endpoints, tmp_path: Path
) -> None:
    program = (
        "import asyncio, asyncpg, os\n"
        "async def main():\n"
        "    assert os.environ['DATABASE_URL'] == os.environ['TEST_DATABASE_URL']\n"
        "    connection = await asyncpg.connect(os.environ['DATABASE_URL'])\n"
        "    await connection.execute('CREATE TABLE t (v int); INSERT INTO t VALUES (5)')\n"
        "    await connection.close()\n"
        "asyncio.run(main())\n"
    )
    plan = migrated(tmp_path, "python migrate.py", {"migrate.py": program})
    await seed_all(endpoints, plan)
    assert (await snapshot(endpoints))["postgres"] == [(5,)]


@pytest.mark.parametrize("kind", ["def", "async def"])
async def test_a_function_of_the_users_fills_the_database(endpoints: Endpoints, tmp_path: Path, kind: str) -> None:
    name = f"seeds_{kind.replace(' ', '_')}"
    body = (
        "import asyncio, asyncpg\n"
        "async def fill(dsn):\n"
        "    connection = await asyncpg.connect(dsn)\n"
        "    await connection.execute('CREATE TABLE t (v int); INSERT INTO t VALUES (6)')\n"
        "    await connection.close()\n"
    )
    body += f"{kind} load(dsn):\n    " + ("await fill(dsn)\n" if kind == "async def" else "asyncio.run(fill(dsn))\n")
    write_files(tmp_path, {f"{name}.py": body})
    await seed_all(endpoints, build_plan(Seeds(project_dir=tmp_path, seed_callable=f"{name}:load")).only("postgres"))
    assert (await snapshot(endpoints))["postgres"] == [(6,)]


async def test_a_function_that_fails_is_named_with_its_line(endpoints: Endpoints, tmp_path: Path) -> None:
    write_files(tmp_path, {"failing_seeds.py": "def load(dsn):\n    value = 1\n    return value / 0\n"})
    plan = build_plan(Seeds(project_dir=tmp_path, seed_callable="failing_seeds:load")).only("postgres")
    with pytest.raises(SeedError) as caught:
        await seed_all(endpoints, plan)
    assert "failing_seeds.py:3" in str(caught.value) and "ZeroDivisionError" in str(caught.value)
