"""``docker compose up -d --wait`` by itself gives a healthy, seeded stack, and ``down`` leaves nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from test_framework.waiting import Deadline, wait_until
from tests.stack.clients import clickhouse_rows, monitor, postgres, redis_client
from tests.stack.compose_stack import PROJECT, ComposeStack, run
from tests.stack.conftest import CANARY

# The first test that asks for the images may have to build them.
pytestmark = [pytest.mark.docker, pytest.mark.timeout(600)]

SERVERS = ("test-postgres", "test-redis", "test-clickhouse", "test-monitor")
ALL = (*SERVERS, "test-seeder")


def test_every_server_is_healthy_and_the_seeder_ended_well(compose_stack: ComposeStack) -> None:
    health = {name: compose_stack.inspect(name)["State"]["Health"]["Status"] for name in SERVERS}
    assert health == dict.fromkeys(SERVERS, "healthy")
    seeder = compose_stack.inspect("test-seeder")["State"]
    assert (seeder["Status"], seeder["ExitCode"]) == ("exited", 0)


def test_a_second_up_keeps_every_container(compose_stack: ComposeStack) -> None:
    before = {name: compose_stack.inspect(name)["Id"] for name in SERVERS}
    done = compose_stack.compose("up", "-d", "--wait")
    assert done.returncode == 0, done.stderr
    assert {name: compose_stack.inspect(name)["Id"] for name in SERVERS} == before


async def test_the_base_data_is_there_when_up_returns(compose_stack: ComposeStack) -> None:
    async with postgres(compose_stack, CANARY) as connection:
        assert await connection.fetchval("SELECT count(*) FROM auth.users") >= 50
    async with redis_client(compose_stack, CANARY) as client:
        assert await client.dbsize() > 0
    [[events]] = clickhouse_rows(compose_stack, "SELECT count() FROM user_events", CANARY)
    assert int(events) >= 100_000


def test_the_monitor_says_healthy(compose_stack: ComposeStack) -> None:
    status, text = monitor(compose_stack, "/health-status")
    assert (status, json.loads(text)["status"]) == (200, "healthy")


def test_a_container_that_ended_stays_down(docker_images: None) -> None:
    # A restarted one would be healthy and empty: its data went with its tmpfs.
    stack = ComposeStack()
    with stack.gone_afterwards():
        done = stack.compose("up", "-d", "--wait", "test-redis")
        assert done.returncode == 0, done.stderr
        assert run("docker", "kill", stack.container("test-redis")).returncode == 0
        state = stack.inspect("test-redis")
        assert (state["State"]["Status"], state["RestartCount"]) == ("exited", 0)


async def test_a_server_that_lost_its_data_is_not_called_healthy(docker_images: None) -> None:
    with ComposeStack().up() as stack:
        assert monitor(stack, "/health-status")[0] == 200
        assert run("docker", "restart", stack.container("test-postgres")).returncode == 0

        async def verdict() -> int | None:
            # Docker calls it healthy: the server is up, with its role and database, and empty.
            status, text = monitor(stack, "/health-status")
            return status if json.loads(text)["status"] == "not_seeded" else None

        assert await wait_until(verdict, Deadline.after(30)) == 503


def test_no_service_restarts_by_itself(compose_stack: ComposeStack) -> None:
    policies = {name: compose_stack.inspect(name)["HostConfig"]["RestartPolicy"]["Name"] for name in ALL}
    assert set(policies.values()) <= {"", "no"}, policies


def test_down_leaves_nothing(docker_images: None) -> None:
    stack = ComposeStack()
    with stack.up():
        # An anonymous volume bears no name of ours, so it would not be found afterwards.
        kinds = {name: {mount["Type"] for mount in stack.inspect(name)["Mounts"]} for name in ALL}
        assert "volume" not in set().union(*kinds.values()), kinds
        assert all(stack.left_over()[kind] for kind in ("containers", "networks"))
    assert stack.left_over() == {"containers": [], "networks": [], "volumes": []}


def test_the_override_file_changes_nothing_as_shipped() -> None:
    shipped = ComposeStack(name="shipped")
    overridden = ComposeStack(name="shipped", overrides=(PROJECT / "docker-compose.test.override.yml",))
    plain, merged = (stack.compose("config", "--format", "json") for stack in (shipped, overridden))
    assert (plain.returncode, merged.returncode) == (0, 0), plain.stderr + merged.stderr
    assert json.loads(merged.stdout) == json.loads(plain.stdout)


def test_a_malformed_fixture_fails_the_start_and_is_named(docker_images: None, tmp_path: Path) -> None:
    folder = tmp_path / "postgres"
    folder.mkdir()
    (folder / "01_broken.sql").write_text("CREATE TABLE fine (id int);\n\nCREATE TABEL broken (id int);\n")
    _readable(tmp_path)
    stack = ComposeStack({"TEST_FIXTURES_DIR": str(tmp_path)})
    with stack.gone_afterwards():
        done = stack.compose("up", "-d", "--wait")
        assert done.returncode != 0
        assert stack.inspect("test-seeder")["State"]["ExitCode"] != 0
        assert "postgres/01_broken.sql:3" in stack.logs()
        assert stack.inspect("test-monitor")["State"]["Status"] == "created"


async def test_a_fixture_folder_of_the_users_own_is_loaded(docker_images: None, tmp_path: Path) -> None:
    folder = tmp_path / "postgres"
    folder.mkdir()
    (folder / "01_own.sql").write_text("CREATE TABLE own_table (id int);\nINSERT INTO own_table VALUES (4711);\n")
    _readable(tmp_path)
    with ComposeStack({"TEST_FIXTURES_DIR": str(tmp_path)}).up() as stack:
        async with postgres(stack, "test_pass") as connection:
            assert await connection.fetchval("SELECT id FROM own_table") == 4711


def _readable(directory: Path) -> None:
    """As a checkout is: the seeder's container is another user."""
    for path in (directory, *directory.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
