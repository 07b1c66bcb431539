"""What only ClickHouse's part of seeding promises: the old database comes back when the new one fails."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from test_framework.endpoints import ClickHouseEndpoint, Endpoints
from test_framework.errors import SeedError
from test_framework.seeding import SeedReport, seed_all
from tests.integration.seeding.looking import query_clickhouse
from tests.seeds import plan_of

COUNTED = """
CREATE TABLE events (day Date, n UInt32) ENGINE = MergeTree ORDER BY day;
CREATE TABLE totals (day Date, n UInt64) ENGINE = SummingMergeTree ORDER BY day;
CREATE MATERIALIZED VIEW totals_mv TO totals AS SELECT day, n FROM events;
INSERT INTO events VALUES ('2025-01-01', 5), ('2025-01-01', 6);
"""
SUM = "SELECT toUInt32(sum(n)) FROM totals"


async def seed(clickhouse: ClickHouseEndpoint, folder: Path, files: dict[str, str | bytes]) -> SeedReport:
    plan = plan_of(folder, {f"clickhouse/{name}": content for name, content in files.items()}, "clickhouse")
    return await seed_all(Endpoints(clickhouse=clickhouse), plan)


async def names(clickhouse: ClickHouseEndpoint) -> set[str]:
    rows = await query_clickhouse(clickhouse, "SELECT name FROM system.databases", database="default")
    return {name for (name,) in rows if clickhouse.database in name}


async def test_views_work_after_their_database_stepped_aside_and_came_back(
    clickhouse: ClickHouseEndpoint, tmp_path: Path
) -> None:
    await seed(clickhouse, tmp_path / "1", {"01.sql": COUNTED})
    with pytest.raises(SeedError):
        await seed(clickhouse, tmp_path / "2", {"01.sql": COUNTED + "SELECT nope"})
    assert await query_clickhouse(clickhouse, SUM) == [[11]]
    await query_clickhouse(clickhouse, "INSERT INTO events VALUES ('2025-01-02', 4)")
    assert await query_clickhouse(clickhouse, SUM) == [[15]]


async def test_the_old_database_is_gone_after_a_new_seed(clickhouse: ClickHouseEndpoint, tmp_path: Path) -> None:
    for number in (1, 2):
        await seed(clickhouse, tmp_path / str(number), {"01.sql": f"{COUNTED} -- {number}"})
    assert await names(clickhouse) == {clickhouse.database}


async def test_a_database_with_a_dictionary_is_seeded_again_and_comes_back_from_a_bad_seed(
    clickhouse: ClickHouseEndpoint, tmp_path: Path
) -> None:
    scripts = """
    CREATE TABLE source (id UInt64, name String) ENGINE = MergeTree ORDER BY id;
    INSERT INTO source VALUES (1, '{0}');
    CREATE DICTIONARY names (id UInt64, name String) PRIMARY KEY id
        SOURCE(CLICKHOUSE(TABLE 'source' DB '%s')) LAYOUT(FLAT()) LIFETIME(0);
    """.replace("%s", clickhouse.database)
    look = f"SELECT dictGet('{clickhouse.database}.names', 'name', 1)"
    for name in ("first", "second"):
        await seed(clickhouse, tmp_path / name, {"01.sql": scripts.format(name)})
        assert await query_clickhouse(clickhouse, look) == [[name]]
    with pytest.raises(SeedError):
        await seed(clickhouse, tmp_path / "third", {"01.sql": scripts.format("third") + "SELECT nope"})
    assert await query_clickhouse(clickhouse, look) == [["second"]]
    assert await names(clickhouse) == {clickhouse.database}


async def test_every_format_is_loaded(clickhouse: ClickHouseEndpoint, tmp_path: Path) -> None:
    table = pa.table({"v": pa.array([5, 6], pa.int32()), "n": ["five", "six"]})
    sink = pa.BufferOutputStream()
    pyarrow.parquet.write_table(table, sink)
    native = b"\x02\x01\x01v\x05Int32\x07\x00\x00\x00\x01n\x06String\x05seven"
    report = await seed(
        clickhouse,
        tmp_path,
        {
            "01.sql": "CREATE TABLE t (v Int32, n String, d String DEFAULT 'd') ENGINE = MergeTree ORDER BY v;",
            "02_t.csv": '\ufeffv,n\r\n1,"o,\nne"\r\n\r\n',
            "03_t.tsv": "n\tv\nt\\two\t2\n",
            "04_t.json": '[{"v": 3, "n": "three"}]',
            "05_t.jsonl": '{"v": 4, "n": "four", "d": "x"}\n',
            "06_t.parquet": sink.getvalue().to_pybytes(),
            "07_t.native": native,
        },
    )
    rows = await query_clickhouse(clickhouse, "SELECT v, n, d FROM t ORDER BY v")
    assert [tuple(row) for row in rows] == [
        (1, "o,\nne", "d"),
        (2, "t\two", "d"),
        (3, "three", "d"),
        (4, "four", "x"),
        (5, "five", "d"),
        (6, "six", "d"),
        (7, "seven", "d"),
    ]
    assert report.services["clickhouse"].counts == {"t": 7}


async def test_what_a_script_sets_holds_for_the_statements_after_it(
    clickhouse: ClickHouseEndpoint, tmp_path: Path
) -> None:
    script = "SET join_use_nulls = 1; CREATE TABLE t ENGINE = Memory AS SELECT getSetting('join_use_nulls') AS v;"
    await seed(clickhouse, tmp_path, {"01.sql": script})
    assert await query_clickhouse(clickhouse, "SELECT toUInt8(v) FROM t") == [[1]]
