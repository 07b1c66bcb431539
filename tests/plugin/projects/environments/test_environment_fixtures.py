"""What the environment fixtures promise, as tests of a user."""

import asyncio
import pathlib

import pytest

from test_framework.environments.resources import RESOURCES
from test_framework.external_service_integration import get_external_service_manager
from test_framework.isolated_environment_manager import get_isolated_environment_manager
from test_framework.performance_optimization import OptimizationLevel, create_optimized_environment_manager

EMAIL = "ada@new.example"


@pytest.mark.asyncio
async def test_the_comprehensive_environment_is_one_world(comprehensive_test_environment, parallel_test_coordinator):
    env = comprehensive_test_environment
    assert sorted(env) == sorted(RESOURCES)
    answer = await env["http"].auth_signup(EMAIL, "secret-4711-x")
    assert answer.status_code == 201
    assert await env["database"].fetchval("SELECT count(*) FROM users WHERE email = $1", EMAIL) == 1
    assert (await env.http.auth_login(EMAIL, "secret-4711-x")).status_code == 200
    assert [key async for key in env["redis"].scan_iter("session:*")]
    assert await env["clickhouse"].execute("SELECT count() FROM user_events WHERE event_type = 'mine'") == [(0,)]
    env["websocket"].register_message_handler("greet", lambda message: {"type": "hello", "to": message["name"]})
    await env["websocket"].send_message({"type": "greet", "name": "Ada"})
    assert await env["websocket"].receive_message() == {"type": "hello", "to": "Ada"}
    path = await env["filesystem"].create_file("a/b.txt", "mine")
    assert path.read_text() == await env["filesystem"].read_file("a/b.txt") == "mine"
    held = sorted(lease.service for lease in parallel_test_coordinator.mine())
    assert held == ["clickhouse", "postgres", "redis"]  # one of each, shared by all fixtures


@pytest.mark.asyncio
async def test_the_environment_shares_its_lease_with_other_fixtures(
    auth_service_integration_environment, test_user, postgres_dsn, real_redis
):
    env = auth_service_integration_environment
    assert set(env) == {"database", "redis", "http"}
    assert (await env.http.auth_login(test_user["email"], test_user["password"])).status_code == 200
    assert postgres_dsn.rpartition("/")[2] == await env.database.fetchval("SELECT current_database()")
    assert env.redis is real_redis


@pytest.mark.asyncio
async def test_the_other_environments_hold_what_they_are_named_for(
    websocket_integration_environment, analytics_testing_environment, performance_test_environment
):
    await websocket_integration_environment.websocket.send_message({"n": 1})
    assert await websocket_integration_environment.websocket.receive_message() == {"n": 1}
    assert await analytics_testing_environment["clickhouse"].execute("SELECT 1") == [(1,)]
    await analytics_testing_environment["filesystem"].create_file("day.csv", "day,count")
    monitor = performance_test_environment["monitor"]
    monitor.start("x")
    assert monitor.end("x") >= 0


def test_a_plain_test_has_its_directory_too(isolated_filesystem):
    isolated_filesystem.path.joinpath("a").write_text("x")
    pathlib.Path("where.txt").write_text(str(isolated_filesystem.path))


def test_the_directory_of_an_earlier_test_is_gone():
    assert not pathlib.Path(pathlib.Path("where.txt").read_text()).exists()


@pytest.mark.asyncio
async def test_environments_by_import_come_from_the_runs_own_session(parallel_test_coordinator):
    manager = get_isolated_environment_manager()
    await manager.initialize()

    async def one(number):
        async with manager.create_test_environment(f"t{number}") as env:
            assert (await env["http"].auth_signup(EMAIL, "secret-4711-x")).status_code == 201
            return await env["database"].fetchval("SELECT current_database()")

    names = await asyncio.gather(*(one(number) for number in range(4)))
    assert len(set(names)) == 4
    owned = {each.name for each in parallel_test_coordinator.owned()}
    assert set(names) <= owned
    await manager.shutdown()
    assert get_isolated_environment_manager() is not manager


@pytest.mark.asyncio
async def test_single_resources_by_import():
    manager = get_external_service_manager()
    async with manager.websocket() as websocket, manager.filesystem() as files, manager.http() as http:
        await websocket.send_message({"n": 1})
        assert await websocket.receive_message() == {"n": 1}
        assert (await files.create_file("a", "x")).exists()
        assert (await http.get("/healthz")).status_code == 200


@pytest.mark.asyncio
async def test_a_level_by_hand_takes_effect():
    manager = create_optimized_environment_manager(OptimizationLevel.CI_FAST, {"max_concurrent_tests": 2})
    async with manager:
        most = 0

        async def one(number):
            nonlocal most
            async with manager.create_test_environment(f"t{number}", resources=["database", "redis"]) as env:
                most = max(most, manager.open_environments)
                assert await env.database.fetchval("SELECT 1") == 1

        await asyncio.gather(*(one(number) for number in range(5)))
        assert most == 2
        assert len(manager.metrics.environments) == 5
