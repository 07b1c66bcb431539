"""What a user writes into the override file or the environment is what the live servers say of themselves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.native_stack import NativeStack, new_stack
from tests.servers import free_port

MOVED = ("test-postgres", 5432), ("test-redis", 6379), ("test-clickhouse", 8123), ("test-monitor", 9090)


@pytest.fixture(scope="module")
def ports() -> dict[str, int]:
    return {service: free_port() for service, _ in MOVED}


@pytest.fixture(scope="module")
def overridden(cluster_cache: Path, ports: dict[str, int]) -> Iterator[NativeStack]:
    """A running stack with everything moved and tuned otherwise."""
    listed = {service: f'["127.0.0.1:{ports[service]}:{target}"]' for service, target in MOVED}
    with new_stack(cluster_cache) as stack:
        stack.override(f"""
services:
  test-postgres:
    ports: !override {listed["test-postgres"]}
    environment:
      POSTGRES_SHARED_BUFFERS: 96MB
      POSTGRES_WORK_MEM: 8MB
      POSTGRES_MAX_CONNECTIONS: 123
      POSTGRES_LOG_LINE_PREFIX: '%m # "it''s" ; %p '
    command: postgres -c random_page_cost=1.5
  test-redis:
    ports: !override {listed["test-redis"]}
    command: redis-server --maxmemory 1gb --maxmemory-policy allkeys-lru --notify-keyspace-events "KEA"
  test-clickhouse:
    # Appended and not replaced: the last one is the one that clients use.
    ports: {listed["test-clickhouse"]}
    environment:
      CLICKHOUSE_MAX_MEMORY_USAGE: 2000000000
  test-monitor:
    ports: !override {listed["test-monitor"]}
    labels: {{a: b}}
""")
        stack.up()
        yield stack


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("shared_buffers", "96MB"),
        ("work_mem", "8MB"),
        ("max_connections", "123"),
        ("random_page_cost", "1.5"),
        ("log_line_prefix", '%m # "it\'s" ; %p '),
        ("fsync", "off"),
        ("synchronous_commit", "on"),
        ("autovacuum", "off"),
        ("unix_socket_directories", ""),
    ],
)
def test_postgres_has_the_override_on_top_of_the_tuned_file(overridden: NativeStack, name: str, value: str) -> None:
    assert overridden.postgres(f"SHOW {name}") == [(value,)]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("maxmemory", str(1024**3)),
        ("maxmemory-policy", "allkeys-lru"),
        ("databases", "1024"),
        ("save", ""),
        ("io-threads", "1"),
        ("appendonly", "yes"),
    ],
)
def test_redis_flags_are_added_to_the_tuned_file(overridden: NativeStack, name: str, value: str) -> None:
    assert overridden.redis("CONFIG", "GET", name) == [name, value]


def test_redis_has_every_flag_of_the_command(overridden: NativeStack) -> None:
    assert set(overridden.redis("CONFIG", "GET", "notify-keyspace-events")[1]) == set("AKE")


@pytest.mark.parametrize(("name", "value"), [("max_memory_usage", "2000000000"), ("max_threads", "2")])
def test_clickhouse_has_the_override_on_top_of_the_tuned_file(overridden: NativeStack, name: str, value: str) -> None:
    assert overridden.clickhouse(f"SELECT value FROM system.settings WHERE name = '{name}'") == value


def test_clickhouse_has_the_servers_limit_of_the_definition(overridden: NativeStack) -> None:
    limit = "SELECT value FROM system.server_settings WHERE name = 'max_server_memory_usage'"
    assert int(overridden.clickhouse(limit)) == 2_400_000_000


def test_clients_find_moved_ports_by_themselves(overridden: NativeStack, ports: dict[str, int]) -> None:
    endpoints = overridden.without(*(name for name in overridden.variables if name.endswith("PORT"))).settings.endpoints
    found = {f"test-{name}": getattr(endpoints, name).port for name in ("postgres", "redis", "clickhouse", "monitor")}
    assert found == ports


def test_validate_holds_the_live_servers_against_the_override(overridden: NativeStack) -> None:
    answer = overridden.json("validate")
    assert answer["ok"] is True
    found = {check["name"]: check["found"] for check in answer["checks"]}
    assert found["postgres random_page_cost"] == "1.5"
    assert found["redis maxmemory"] == str(1024**3)


def test_a_changed_override_restarts_the_stack_with_it_and_a_no_effect_key_is_told(stack: NativeStack) -> None:
    first = stack.up()
    file = stack.override("services:\n  test-postgres:\n    hostname: db\n    environment: {POSTGRES_WORK_MEM: 6MB}\n")
    done = stack.run("up", "--backend", "native")
    assert done.returncode == 0, done.stderr
    assert "its definition has changed: restarting" in done.stderr
    assert f"warning: {file}:3: 'hostname' of test-postgres has no effect on the native backend" in done.stderr
    assert stack.state.stack_id != first.stack_id
    assert stack.postgres("SHOW work_mem") == [("6MB",)]
    assert not Path(first.run_dir or "").exists()
