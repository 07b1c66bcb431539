"""Whole environments: what they hold belongs together and to nobody else, and all of it goes, whatever happens."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from test_framework.environments.isolated import IsolatedEnvironmentManager
from test_framework.environments.resources import KINDS, RESOURCES, TestEnvironment
from test_framework.environments.slots import Slots
from test_framework.errors import ApplicationError, FrameworkError, SettingsError
from test_framework.external.application import Application
from test_framework.external.llm import LlmUnavailable
from test_framework.waiting import Deadline, wait_until
from tests.integration.environments.conftest import Make
from tests.seeded_stack import Stack

EMAIL = "ada@new.example"
COUNT = f"SELECT count(*) FROM auth.users WHERE email = '{EMAIL}'"


async def use_all(env: TestEnvironment) -> None:
    """Leave something in every resource."""
    answer = await env.http.auth_signup(EMAIL, "secret-4711-x")
    assert answer.status_code == 201, answer.text
    assert await env.database.fetchval(COUNT) == 1
    await env.redis.set("mine", "1")
    await env.clickhouse.insert("user_events", [["mine"]], ["event_type"])
    await env.websocket.send_message({"n": 1})
    assert await env.websocket.receive_message() == {"n": 1}
    await env.filesystem.create_file("a/b.txt", "mine")


async def nothing_left(stack: Stack, files: Path, manager: IsolatedEnvironmentManager) -> None:
    """No lease, no directory, no key, no environment; waits for what is taken back in the background."""

    async def settled() -> bool:
        rows = await stack.sql(
            "SELECT service, name FROM isolation.namespaces WHERE state IN ('leased', 'creating', 'garbage')"
            " AND service <> 'redis'"
        )
        return not rows

    assert await wait_until(settled, Deadline.after(30)), await stack.books()
    assert list(files.iterdir()) == []
    assert manager.open_environments == 0
    async with Redis.from_url(stack.endpoints.redis.url) as redis:

        async def flushed() -> bool:
            keyspace = await redis.info("keyspace")
            return set(keyspace) <= {"db0"}

        assert await wait_until(flushed, Deadline.after(30)), await redis.info("keyspace")


async def refuses(env: TestEnvironment) -> bool:
    """Whether nobody listens any more where the environment's service and WebSocket server were."""
    url = env.http.base_url
    try:
        _, writer = await asyncio.open_connection(url.host, url.port)
    except ConnectionRefusedError:
        return True
    writer.close()
    return False


async def test_everything_in_an_environment_belongs_together(make: Make, stack: Stack, files: Path) -> None:
    manager = make()
    async with manager.create_test_environment("test_it") as env:
        assert tuple(sorted(env)) == tuple(sorted(RESOURCES))
        await use_all(env)
        login = await env["http"].auth_login(EMAIL, "secret-4711-x")
        assert login.status_code == 200
        assert [key async for key in env.redis.scan_iter("session:*")]
        me = await env.http.get("/auth/me")
        assert me.json()["email"] == EMAIL
        assert await env.clickhouse.execute("SELECT count() FROM user_events WHERE event_type = 'mine'") == [(1,)]
        assert await env.filesystem.read_file("a/b.txt") == "mine"
        with pytest.raises(LlmUnavailable):
            await env.llm.chat("hello", model="any")
    assert await refuses(env)
    await nothing_left(stack, files, manager)


@pytest.mark.parametrize("kind", KINDS)
async def test_an_environment_holds_what_its_kind_names_and_leases_no_more(make: Make, stack: Stack, kind: str) -> None:
    manager = make()
    async with manager.create_test_environment("test_it", resources=KINDS[kind]) as env:
        assert set(env) == set(KINDS[kind])
        leased = {each.service for each in manager.metrics.acquisitions}
        assert leased == ({"clickhouse"} if kind == "analytics" else {"postgres", "redis", "clickhouse"})
    with pytest.raises(AttributeError, match="it has"):
        _ = env.elephant


async def test_environments_at_once_see_nothing_of_each_other(make: Make, stack: Stack, files: Path) -> None:
    manager = make("CI_FAST")
    here = asyncio.Barrier(8)

    async def one(number: int) -> str:
        async with manager.create_test_environment(f"test_{number}") as env:
            await use_all(env)  # the same address in each: it would be refused if they shared
            await here.wait()  # all of them exist now
            assert [key async for key in env.redis.scan_iter("mine*")] == ["mine"]
            assert await env.filesystem.list_files() == ["a/b.txt"]
            return str(env.http.base_url)

    urls = await asyncio.gather(*(one(number) for number in range(8)))
    assert len(set(urls)) == 8
    assert len(manager.metrics.environments) == 8
    await nothing_left(stack, files, manager)


class Boom(Exception):
    pass


async def _raises(env: TestEnvironment) -> None:
    raise Boom


async def _cancelled(env: TestEnvironment) -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(0)


async def _times_out(env: TestEnvironment) -> None:
    async with asyncio.timeout(0):
        await asyncio.Event().wait()


async def _busy(env: TestEnvironment) -> None:
    """Ends in the middle of everything: a transaction, a subscription, a request, a half-written file."""
    await env.database.execute("BEGIN; INSERT INTO auth.users (email) VALUES ('x@new.example')")
    subscriber = env.redis.pubsub()
    await subscriber.subscribe("x")
    asking = asyncio.ensure_future(env.http.get("/healthz"))
    asyncio.get_running_loop().call_soon(asking.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await asking
    raise Boom


@pytest.mark.parametrize("end", [_raises, _cancelled, _times_out, _busy])
async def test_nothing_is_left_however_a_test_ends(
    make: Make, stack: Stack, files: Path, end: Callable[[TestEnvironment], Awaitable[None]]
) -> None:
    manager = make()
    seen: list[TestEnvironment] = []

    async def body() -> None:
        async with manager.create_test_environment("test_it") as env:
            seen.append(env)
            await use_all(env)
            await end(env)

    with pytest.raises((Boom, asyncio.CancelledError, TimeoutError)):
        await asyncio.create_task(body())
    assert await refuses(seen[0])
    await nothing_left(stack, files, manager)


async def test_a_test_cancelled_twice_is_cleaned_up_all_the_same(make: Make, stack: Stack, files: Path) -> None:
    manager = make()
    inside, again = asyncio.Event(), asyncio.Event()

    async def body() -> None:
        async with manager.create_test_environment("test_it") as env:
            await use_all(env)
            inside.set()
            try:
                await asyncio.Event().wait()
            finally:
                again.set()

    task = asyncio.create_task(body())
    await inside.wait()
    task.cancel()
    await again.wait()
    task.cancel()  # now it is cleaning up
    with pytest.raises(asyncio.CancelledError):
        await task
    await nothing_left(stack, files, manager)


@pytest.mark.parametrize("steps", [1, 3, 6, 12, 25, 50])
async def test_a_test_cancelled_while_its_environment_comes_up_leaves_nothing(
    make: Make, stack: Stack, files: Path, steps: int
) -> None:
    manager = make()

    async def body() -> None:
        async with manager.create_test_environment("test_it"):
            await asyncio.Event().wait()

    task = asyncio.create_task(body())
    for _ in range(steps):
        await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await nothing_left(stack, files, manager)


async def test_an_application_that_does_not_start_leaves_nothing(make: Make, stack: Stack, files: Path) -> None:
    def broken() -> Any:
        raise RuntimeError("no such table")

    manager = make(application=lambda: Application(name="broken", target=broken, factory=True))
    with pytest.raises(ApplicationError, match="broken"):
        async with manager.create_test_environment("test_it"):
            pytest.fail("it came up")
    await nothing_left(stack, files, manager)


async def test_a_failing_clean_up_does_not_hide_why_the_test_failed(make: Make, stack: Stack, files: Path) -> None:
    def fail(message: Any) -> None:
        raise RuntimeError("the handler failed")

    manager = make()
    with pytest.raises(Boom) as caught:
        async with manager.create_test_environment("test_it", resources=["websocket"]) as env:
            env.websocket.register_message_handler("x", fail)
            await env.websocket.send_message({"type": "x"})
            await env.websocket.client.wait_closed()
            raise Boom
    assert any("the handler failed" in note for note in caught.value.__notes__)
    with pytest.raises(RuntimeError, match="the handler failed"):
        async with manager.create_test_environment("test_it", resources=["websocket"]) as env:
            env.websocket.register_message_handler("x", fail)
            await env.websocket.send_message({"type": "x"})
            await env.websocket.client.wait_closed()
    await nothing_left(stack, files, manager)


async def test_no_more_environments_exist_at_once_than_the_level_allows(make: Make) -> None:
    manager = make(max_concurrent_tests=3)
    most = 0

    async def one(number: int) -> None:
        nonlocal most
        async with manager.create_test_environment(f"test_{number}", resources=["redis"]):
            most = max(most, manager.open_environments)
            await asyncio.sleep(0)

    await asyncio.gather(*(one(number) for number in range(12)))
    assert most == 3
    assert len(manager.metrics.environments) == 12


async def test_few_connections_mean_few_environments(make: Make) -> None:
    assert make("PRODUCTION", pool_max_connections=10)._slots.count == 2


async def test_without_pooling_nothing_is_ready_and_with_it_nearly_all_is(make: Make, stack: Stack) -> None:
    async def one_ahead() -> bool:
        reserved = "SELECT 1 FROM isolation.namespaces WHERE state = 'reserved' AND service = 'postgres'"
        return bool(await stack.sql(reserved))

    async def ready(manager: IsolatedEnvironmentManager) -> list[bool]:
        await manager.initialize()
        manager.metrics.acquisitions.clear()
        for number in range(6):
            async with manager.create_test_environment(f"test_{number}", resources=["database"]) as env:
                await env.database.execute("CREATE TABLE mine ()")
                if manager.policy.enable_resource_pooling:  # as long as a test: the pool is filled meanwhile
                    assert await wait_until(one_ahead, Deadline.after(30))
        hits = [each.hit for each in manager.metrics.acquisitions]
        await manager.shutdown()
        return hits

    pooled = await ready(make())
    assert sum(pooled) >= 5
    await stack.sql("DELETE FROM isolation.namespaces WHERE state IN ('ready', 'reserved')")
    assert await ready(make(enable_resource_pooling=False)) == [False] * 6


async def test_shutdown_ends_what_is_still_open(make: Make, stack: Stack, files: Path) -> None:
    manager = make()
    opened = manager.create_test_environment("test_it")
    env = await opened.__aenter__()
    await use_all(env)
    await manager.shutdown()
    assert await refuses(env)
    await nothing_left(stack, files, manager)
    assert not await stack.sql("SELECT 1 FROM isolation.sessions")
    with pytest.raises(FrameworkError, match="shut down"):
        async with manager.create_test_environment("late"):
            pytest.fail("it came up")
    await opened.__aexit__(None, None, None)
    await manager.shutdown()


async def test_an_unknown_resource_is_refused_by_its_name(make: Make) -> None:
    with pytest.raises(SettingsError, match="'kafka'"):
        async with make().create_test_environment("test_it", resources=["redis", "kafka"]):
            pytest.fail("it came up")


def test_one_manager_serves_many_event_loops_at_once(make: Make, stack: Stack) -> None:
    manager = make(max_concurrent_tests=2)
    failures: list[BaseException] = []

    async def one() -> None:
        async with manager.create_test_environment("test_it", resources=["database", "redis", "filesystem"]) as env:
            await env.database.execute("INSERT INTO auth.users (email) VALUES ($1)", EMAIL)
            assert await env.redis.incr("n") == 1
            assert manager.open_environments <= 2

    def thread() -> None:
        try:
            for _ in range(3):
                asyncio.run(one())
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=thread) for _ in range(5)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert failures == []
    assert len(manager.metrics.environments) == 15


async def test_whoever_stops_waiting_for_a_turn_takes_none() -> None:
    slots = Slots(1)
    async with slots.take():
        waiting = [asyncio.create_task(_turn(slots)) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        await asyncio.sleep(0)
    waiting[1].cancel()  # it may have been given its turn in this moment
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert results[2] == "turn"
    assert await _turn(slots) == "turn"


async def _turn(slots: Slots) -> str:
    async with slots.take():
        return "turn"
