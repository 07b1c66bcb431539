"""What the command line promises holds whichever backend runs the servers: the same laws, on both."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.native_stack import NativeStack, new_stack
from tests.stack.compose_stack import IMAGE_TAG

OVERRIDE = """
services:
  test-postgres:
    environment: {POSTGRES_SHARED_BUFFERS: 96MB, POSTGRES_WORK_MEM: 9MB, POSTGRES_MAX_CONNECTIONS: 123}
  test-redis:
    command: redis-server --maxmemory 300mb --maxmemory-policy allkeys-lru
  test-clickhouse:
    environment: {CLICKHOUSE_MAX_MEMORY_USAGE: 700000000}
"""


@pytest.fixture(scope="module", params=["native", pytest.param("compose", marks=pytest.mark.docker)])
def backend(request: pytest.FixtureRequest) -> str:
    if request.param == "compose":
        request.getfixturevalue("docker_images")
    return str(request.param)


@pytest.fixture(scope="module")
def stack(backend: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NativeStack]:
    """Up, with the shipped seed and an override file."""
    with new_stack(tmp_path_factory.mktemp("cache"), seed=None) as fresh:
        stack = fresh.having(TEST_BACKEND=backend, TEST_CLICKHOUSE_TARGET="embedded", TEST_IMAGE_TAG=IMAGE_TAG)
        if backend == "compose":
            stack = stack.without("DOCKER_HOST")  # what the harness hides from stacks that must not find an engine
        stack.override(OVERRIDE)
        stack.ok("up")
        yield stack


def test_the_chosen_backend_runs_it(stack: NativeStack, backend: str) -> None:
    assert stack.state.backend == backend


def test_the_live_servers_are_what_the_definition_says(stack: NativeStack) -> None:
    report = stack.json("validate")
    assert report["ok"], [check for check in report["checks"] if check["ok"] is False]


def test_an_override_reaches_the_live_servers_beside_the_tuned_settings(stack: NativeStack) -> None:
    settings = ("shared_buffers", "work_mem", "max_connections", "fsync")
    assert [stack.postgres(f"SHOW {name}")[0][0] for name in settings] == ["96MB", "9MB", "123", "off"]
    assert stack.redis("CONFIG", "GET", "maxmemory") == ["maxmemory", str(300 * 1024**2)]
    assert stack.redis("CONFIG", "GET", "maxmemory-policy") == ["maxmemory-policy", "allkeys-lru"]
    assert stack.redis("CONFIG", "GET", "databases") == ["databases", "1024"]
    limit = stack.clickhouse("SELECT value FROM system.settings WHERE name = 'max_memory_usage'")
    assert limit == "700000000"


def test_the_shipped_seed_is_there_in_full(stack: NativeStack) -> None:
    assert stack.postgres("SELECT count(*) >= 50 FROM users")[0][0]
    assert stack.postgres("SELECT count(DISTINCT organization_id) FROM organization_memberships")[0][0] == 5
    assert int(stack.redis("DBSIZE")) > 10
    days = stack.clickhouse("SELECT count() >= 100000, uniqExact(toDate(event_time)) >= 90 FROM user_events")
    assert days == "1\t1"


def test_a_second_up_starts_nothing(stack: NativeStack) -> None:
    before = stack.state
    answer = stack.json("up")
    assert answer["started"] is False
    assert stack.state == before


def test_clients_find_the_published_ports_by_themselves(stack: NativeStack) -> None:
    assert stack.settings.endpoints == stack.state.endpoints
    assert stack.settings.endpoints.postgres.port not in {0, 5434}


def test_every_server_bears_the_published_identity(stack: NativeStack) -> None:
    status = stack.json("status")
    assert status["healthy"] is True
    assert status["stack_id"] == stack.state.stack_id


def test_a_reset_brings_deleted_base_data_back(stack: NativeStack) -> None:
    stack.postgres("DELETE FROM messages")
    stack.clickhouse("TRUNCATE TABLE user_events")
    stack.ok("reset")
    assert stack.postgres("SELECT count(*) > 0 FROM messages")[0][0]
    assert int(stack.clickhouse("SELECT count() FROM user_events")) >= 100_000


def test_changed_fixtures_are_loaded_without_a_restart(stack: NativeStack, tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "90_more.sql").write_text("CREATE TABLE public.more AS SELECT 7 AS n;\n")
    extended = stack.having(TEST_FIXTURES_DIR=str(tmp_path), TEST_FIXTURES_MODE="extend")
    before = stack.state.stack_id
    extended.ok("seed")
    assert stack.postgres("SELECT n FROM public.more") == [(7,)]
    assert stack.json("status")["stack_id"] == before
    stack.ok("seed")
    assert stack.postgres("SELECT to_regclass('public.more') IS NULL")[0][0]


def test_down_forgets_the_stack_and_is_harmless_when_repeated(stack: NativeStack) -> None:
    assert "nothing is left" in stack.ok("down")
    assert stack.published is None
    assert "nothing was up" in stack.ok("down")
    assert "not up" in stack.fails(2, "status")
