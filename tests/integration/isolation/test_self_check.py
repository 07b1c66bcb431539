"""``validate`` tries what isolation promises, and sees when it does not hold."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from test_framework.endpoints import PostgresEndpoint
from test_framework.environment import Broker, Lease
from test_framework.environment.self_check import check_isolation
from tests.seeded_stack import Stack
from tests.servers import free_port

SERVICES = ("postgres", "redis", "clickhouse")


async def test_a_sound_stack_passes_and_nothing_is_left(stack: Stack) -> None:
    checks = await check_isolation(stack.endpoints)
    assert [check.name for check in checks] == [
        f"{service} {kind}" for service in SERVICES for kind in ("concurrency", "isolation", "clean-up")
    ]
    assert [check.found for check in checks if not check.ok] == []
    assert await stack.sql("SELECT datname FROM pg_database WHERE datname LIKE 'apes_check%'") == []
    assert await stack.sql("SELECT count(*) FROM isolation.sessions") == [(0,)]


async def test_namespaces_that_are_shared_are_found(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    honest, shared, one_by_one = Broker.aacquire, dict[str, Lease](), asyncio.Lock()

    async def dishonest(self: Broker, service: str, **options: Any) -> Lease:
        async with one_by_one:
            if service not in shared:
                shared[service] = await honest(self, service, **options)
            return shared[service]

    monkeypatch.setattr(Broker, "aacquire", dishonest)
    nowhere = replace(stack.endpoints.clickhouse, host="none")
    endpoints = replace(stack.endpoints, postgres=PostgresEndpoint(host="none"), clickhouse=nowhere)
    concurrency, isolation, clean_up = await check_isolation(endpoints)
    assert not concurrency.ok
    assert "was handed out twice" in concurrency.found
    assert not isolation.ok
    assert "seen by" in isolation.found
    assert clean_up.ok


async def test_what_is_left_behind_is_found(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Broker, "close", lambda self: None)
    brokers: list[Broker] = []
    begin = Broker.__init__

    def noted(self: Broker, *args: Any, **options: Any) -> None:
        begin(self, *args, **options)
        brokers.append(self)

    monkeypatch.setattr(Broker, "__init__", noted)
    checks = await check_isolation(stack.endpoints)
    monkeypatch.undo()
    for broker in brokers:
        broker.close()
    assert [check.name for check in checks if not check.ok] == [f"{service} clean-up" for service in SERVICES]


async def test_a_server_that_is_away_is_a_failed_check_and_no_crash(stack: Stack) -> None:
    away = replace(stack.endpoints, redis=replace(stack.endpoints.redis, port=free_port()))
    checks = await check_isolation(replace(away, clickhouse=replace(away.clickhouse, host="none")))
    assert {check.name: check.ok for check in checks if check.name.startswith("redis")} == {
        "redis concurrency": False,
        "redis isolation": False,
        "redis clean-up": True,
    }
    assert all(check.ok for check in checks if check.name.startswith("postgres"))
