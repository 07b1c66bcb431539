"""The tuned configuration is what the live servers use, and what a user overrides comes on top of it."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stack.clients import clickhouse, clickhouse_rows, postgres, redis_client
from tests.stack.compose_stack import PROJECT, ComposeStack
from tests.stack.conftest import CANARY

pytestmark = [pytest.mark.docker, pytest.mark.timeout(600)]

IMAGES = PROJECT / "images"
PASSWORD = "test_pass"

OVERRIDE = """
services:
  test-postgres:
    ports: !override
      - "127.0.0.1::5432"
    environment:
      POSTGRES_SHARED_BUFFERS: 96MB
      POSTGRES_WORK_MEM: 8MB
      POSTGRES_MAX_CONNECTIONS: 120
      POSTGRES_STATEMENT_TIMEOUT: 17s
    command: postgres -c maintenance_work_mem=48MB -c work_mem=9MB
    mem_limit: 3g
    volumes:
      - type: tmpfs
        target: /data
        tmpfs:
          size: 700m
  test-redis:
    command: redis-server --maxmemory 1gb --maxmemory-policy allkeys-lru
  test-clickhouse:
    environment:
      CLICKHOUSE_MAX_MEMORY_USAGE: 2000000000
"""


@pytest.fixture(scope="module")
def overridden(docker_images: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComposeStack]:
    """A second stack beside the shared one, changed by an override file. Shared too: change nothing in it."""
    file = tmp_path_factory.mktemp("override") / "override.yml"
    file.write_text(OVERRIDE)
    with ComposeStack(overrides=(file,)).up() as stack:
        yield stack


def _settings_of(file: Path) -> dict[str, str]:
    """``name = value`` (PostgreSQL) or ``name value`` (Redis) of each line that is no comment."""
    lines = [line for line in file.read_text("utf-8").splitlines() if line and not line.startswith("#")]
    pairs = [re.split(r"\s*=\s*|\s+", line, maxsplit=1) for line in lines]
    return {name: value.strip("'\"") for name, value in pairs}


async def test_postgres_uses_every_setting_of_its_file(compose_stack: ComposeStack) -> None:
    expected = _settings_of(IMAGES / "postgres" / "postgresql.test.conf")
    assert expected["fsync"] == "off"
    async with postgres(compose_stack, CANARY) as connection:
        rows = await connection.fetch("SELECT name, current_setting(name) AS value FROM pg_settings")
    live = {row["name"].lower(): row["value"] for row in rows}
    assert {name: live[name].lower() for name in expected} == {k: v.lower() for k, v in expected.items()}


async def test_redis_uses_every_setting_of_its_file(compose_stack: ComposeStack) -> None:
    expected = _settings_of(IMAGES / "redis" / "redis.test.conf")
    expected["maxmemory"] = str(256 * 1024**2)
    async with redis_client(compose_stack, CANARY) as client:
        live = {name: (await client.config_get(name))[name] for name in expected}
    assert live == expected


def test_clickhouse_uses_every_setting_of_its_files(compose_stack: ComposeStack) -> None:
    root = ET.parse(IMAGES / "clickhouse" / "config.d" / "test.xml").getroot()
    profile = ET.parse(IMAGES / "clickhouse" / "users.d" / "test.xml").getroot().find("profiles/default")
    assert profile is not None
    expected = {
        "server_settings": {each.tag: each.text for each in root if not len(each)},
        "merge_tree_settings": {each.tag: each.text for each in root.iterfind("merge_tree/*")},
        "settings": {each.tag: each.text for each in profile},
    }
    for table, wanted in expected.items():
        live = dict(clickhouse_rows(compose_stack, f"SELECT name, value FROM system.{table}", CANARY))
        # Some keys of the file, such as timezone, are no setting that the server lists.
        known = {name: _number(value) for name, value in wanted.items() if name in live and name not in _SERVER_ONLY}
        assert {name: live[name] for name in known} == known, table
        assert len(known) >= 3, table


# The embedded engine has none of these pools and says 0.
_SERVER_ONLY = {f"background_{name}_schedule_pool_size" for name in ("buffer_flush", "message_broker", "distributed")}


def _number(text: str | None) -> str | None:
    return {"true": "1", "false": "0"}.get(text or "", text)


def test_clickhouse_gives_memory_back_as_soon_as_a_table_is_dropped(compose_stack: ComposeStack) -> None:
    query = "SELECT value FROM system.server_settings WHERE name = 'database_atomic_delay_before_drop_table_sec'"
    assert clickhouse_rows(compose_stack, query, CANARY) == [["0"]]


def test_clickhouse_refuses_an_insert_while_room_for_merges_is_left(compose_stack: ComposeStack) -> None:
    [[kept]] = clickhouse_rows(compose_stack, "SELECT keep_free_space FROM system.disks", CANARY)
    assert int(kept) == 64 * 1024**2


def test_clickhouse_mutates_with_its_small_pool(overridden: ComposeStack) -> None:
    # A pool smaller than what merge_tree wants free refuses every table with BAD_ARGUMENTS.
    for statement in (
        "CREATE TABLE mutated (a Int32, b Int32) ENGINE = MergeTree ORDER BY a",
        "INSERT INTO mutated SELECT number, 0 FROM numbers(1000)",
        "ALTER TABLE mutated UPDATE b = a WHERE 1",
    ):
        status, text = clickhouse(overridden, statement, PASSWORD)
        assert status == 200, text
    # Synchronous: the next statement sees it.
    assert clickhouse_rows(overridden, "SELECT sum(b) FROM mutated", PASSWORD) == [["499500"]]
    assert clickhouse(overridden, "DROP TABLE mutated SYNC", PASSWORD)[0] == 200


async def test_postgres_settings_from_the_environment_take_effect(overridden: ComposeStack) -> None:
    async with postgres(overridden, PASSWORD) as connection:
        names = ("shared_buffers", "max_connections", "statement_timeout", "maintenance_work_mem")
        live = {name: await connection.fetchval(f"SHOW {name}") for name in names}
    assert live == {
        "shared_buffers": "96MB",
        "max_connections": "120",
        "statement_timeout": "17s",
        "maintenance_work_mem": "48MB",
    }


async def test_a_flag_of_the_postgres_command_wins_over_the_environment(overridden: ComposeStack) -> None:
    async with postgres(overridden, PASSWORD) as connection:
        assert await connection.fetchval("SHOW work_mem") == "9MB"


async def test_a_postgres_command_keeps_the_tuned_configuration(overridden: ComposeStack) -> None:
    async with postgres(overridden, PASSWORD) as connection:
        assert await connection.fetchval("SHOW fsync") == "off"


async def test_a_redis_command_adds_its_flags_to_the_tuned_configuration(overridden: ComposeStack) -> None:
    async with redis_client(overridden, None) as client:
        names = ("maxmemory", "maxmemory-policy", "databases", "save")
        live = {name: (await client.config_get(name))[name] for name in names}
    assert live == {
        "maxmemory": str(1024**3),
        "maxmemory-policy": "allkeys-lru",
        "databases": "1024",
        "save": "",
    }


def test_the_clickhouse_limit_per_query_takes_effect(overridden: ComposeStack) -> None:
    query = "SELECT value FROM system.settings WHERE name = 'max_memory_usage'"
    assert clickhouse_rows(overridden, query, PASSWORD) == [["2000000000"]]


def test_memory_limit_and_tmpfs_size_take_effect(overridden: ComposeStack) -> None:
    host = overridden.inspect("test-postgres")["HostConfig"]
    assert host["Memory"] == 3 * 1024**3
    assert [mount["TmpfsOptions"]["SizeBytes"] for mount in host["Mounts"]] == [700 * 1024**2]


def test_an_overridden_port_replaces_the_default_one(overridden: ComposeStack) -> None:
    bindings = overridden.inspect("test-postgres")["NetworkSettings"]["Ports"]["5432/tcp"]
    assert [binding["HostIp"] for binding in bindings] == ["127.0.0.1"]


async def test_two_stacks_side_by_side_share_nothing(compose_stack: ComposeStack, overridden: ComposeStack) -> None:
    async with postgres(overridden, PASSWORD) as connection:
        await connection.execute("CREATE TABLE only_here (id int)")
        async with postgres(compose_stack, CANARY) as other:
            assert await other.fetchval("SELECT to_regclass('only_here')") is None
        await connection.execute("DROP TABLE only_here")
    networks = [stack.inspect("test-postgres")["NetworkSettings"]["Networks"] for stack in (compose_stack, overridden)]
    assert set(networks[0]).isdisjoint(networks[1])
