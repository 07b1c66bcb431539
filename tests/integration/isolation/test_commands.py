"""``reap`` and ``down`` reclaim what the dead left, and let the living be."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from test_framework.environment import Broker
from test_framework.state import StackState, find_state_directory, write_state
from tests.seeded_stack import Stack


def command(stack: Stack, state: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """``test-framework`` in a process that knows the servers by variables."""
    endpoints = stack.endpoints
    variables = {
        "TEST_STATE_DIR": str(state),
        "TEST_STACK_NAME": "reaped",
        "TEST_BACKEND": "external",
        "TEST_POSTGRES_HOST": endpoints.postgres.host,
        "TEST_POSTGRES_PORT": str(endpoints.postgres.port),
        "TEST_POSTGRES_PASSWORD": endpoints.postgres.password.reveal(),
        "TEST_POSTGRES_DB": endpoints.postgres.database,
        "TEST_REDIS_HOST": endpoints.redis.host,
        "TEST_REDIS_PORT": str(endpoints.redis.port),
        "TEST_REDIS_PASSWORD": endpoints.redis.password.reveal(),
        "TEST_CLICKHOUSE_HOST": endpoints.clickhouse.host,
        "TEST_CLICKHOUSE_HTTP_PORT": str(endpoints.clickhouse.port),
        "TEST_CLICKHOUSE_PASSWORD": endpoints.clickhouse.password.reveal(),
        "TEST_CLICKHOUSE_DB": endpoints.clickhouse.database,
    }
    return subprocess.run(
        [sys.executable, "-m", "test_framework", *arguments],
        env={**os.environ, **variables},
        text=True,
        capture_output=True,
        timeout=60,
    )


def plant_dead_session(stack: Stack, *names: str) -> None:
    """Books of a session whose process is gone, and its databases."""
    stack.ask("INSERT INTO isolation.sessions (id, run_id, worker_id, host, pid) VALUES (7, 'dead', 'gw9', 'x', 1)")
    for name in names:
        stack.ask(f"CREATE DATABASE {name}")
        stack.ask(
            "INSERT INTO isolation.namespaces (service, name, template, worker_id, state, session_id)"
            " VALUES ('postgres', $1, 't', 'gw9', 'leased', 7)",
            name,
        )


def names(count: int) -> list[str]:
    return [f"apes_test_gw9_{secrets.token_hex(4)}" for _ in range(count)]


def test_reap_says_how_much_it_reclaimed(stack: Stack, broker: Broker, tmp_path: Path) -> None:
    alive = broker.acquire("postgres")
    dead = names(3)
    plant_dead_session(stack, *dead)
    done = command(stack, tmp_path, "reap", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["sessions"], report["reclaimed"]) == (1, {"postgres": 3})
    left = {name for (name,) in stack.ask("SELECT datname FROM pg_database")}
    assert alive.name in left
    assert not left & set(dead)
    assert "0 dead sessions, 0 namespaces" in command(stack, tmp_path, "reap").stdout


def test_many_orphans_do_not_keep_the_first_test_waiting(stack: Stack, make_broker: Callable[..., Broker]) -> None:
    dead = names(40)
    plant_dead_session(stack, *dead)
    broker = make_broker(worker="gw1")
    lease = broker.acquire("postgres")
    gone = {name for (name,) in stack.ask("SELECT datname FROM pg_database")}
    assert lease.name in gone
    assert gone & set(dead)  # they are dropped in the background, so some are still there
    for _ in range(300):
        if not {name for (name,) in stack.ask("SELECT datname FROM pg_database")} & set(dead):
            break
        time.sleep(0.05)
    assert not {name for (name,) in stack.ask("SELECT datname FROM pg_database")} & set(dead)


def test_down_refuses_while_tests_run_and_names_them(stack: Stack, broker: Broker, tmp_path: Path) -> None:
    publish(stack, tmp_path)
    broker.acquire("redis")
    refused = command(stack, tmp_path, "down")
    assert refused.returncode == 7
    assert f"gw0 of run {broker.identity.run_id[:8]}" in refused.stderr
    assert "--force" in refused.stderr
    assert command(stack, tmp_path, "down", "--force").returncode == 0


def test_down_leaves_nothing_of_any_run_on_servers_that_go_on(
    stack: Stack, make_broker: Callable[..., Broker], tmp_path: Path
) -> None:
    publish(stack, tmp_path)
    broker = make_broker()
    broker.release(broker.acquire("postgres"), keep=True)
    broker.close()
    plant_dead_session(stack, *names(1))
    done = command(stack, tmp_path, "down")
    assert done.returncode == 0, done.stderr
    assert stack.ask("SELECT datname FROM pg_database WHERE datname LIKE 'apes%'") == []
    assert stack.ask("SELECT * FROM isolation.namespaces") == []


def publish(stack: Stack, directory: Path) -> None:
    """Say, as ``up`` does with external servers, that the stack is up."""
    state = StackState(
        stack_name="reaped",
        backend="external",
        stack_id="0" * 16,
        definition="",
        project_dir=str(directory),
        started_at=0.0,
        endpoints=replace(stack.endpoints),
    )
    write_state(find_state_directory("reaped", str(directory)), state)


@pytest.mark.parametrize("arguments", [("reap",), ("down",)])
def test_without_any_session_ever_there_is_nothing_to_do(stack: Stack, tmp_path: Path, arguments: tuple[str]) -> None:
    done = command(stack, tmp_path, *arguments)
    assert done.returncode == 0, done.stderr
