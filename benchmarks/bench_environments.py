"""Whole environments: how long one takes to be ready, many at once, and how often the pool has what is asked for."""

from __future__ import annotations

import asyncio
import logging
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Self

import psutil

from benchmarks.common import Section, machine, memory_of, table
from test_framework.environment import Identity
from test_framework.environments.building import Tools
from test_framework.environments.isolated import IsolatedEnvironmentManager
from test_framework.environments.models import LanguageModels
from test_framework.environments.resources import SERVICES, TestEnvironment
from test_framework.external.application import reference_application
from test_framework.external.llm import LlmConfig
from test_framework.external.llm.settings import LlmSettings
from test_framework.external.serving import close_threads
from test_framework.manager.holdings import Clients
from test_framework.performance.levels import policy_for
from test_framework.performance.metrics import Metrics, percentile
from test_framework.performance.watching import watched_broker
from test_framework.settings import Settings, load_settings
from tests.native_stack import NativeStack, new_stack

SINGLE = 40
ROUNDS = 5
TESTS = 500
AT_ONCE = 2  # as many tests of the long run are busy at a time
PAUSE = 0.03  # what a test does by itself


def make_manager(settings: Settings, level: str, files: Path) -> IsolatedEnvironmentManager:
    policy, metrics = policy_for(level), Metrics()
    broker = watched_broker(settings.endpoints, Identity(run_id=os.urandom(8).hex()), policy=policy, metrics=metrics)
    clients = Clients(broker, lease_timeout=None, connection_timeout=10, query_timeout=30)
    models = LanguageModels(LlmSettings(config=LlmConfig(), test_budget=Decimal(0)))

    def close() -> None:
        close_threads()
        clients.close()
        broker.close()

    tools = Tools(
        settings=settings,
        clients=clients,
        application=reference_application,
        app_services=SERVICES,
        make_llm=lambda test: models.make(test, files / f"{test}.yaml"),
        files=files,
    )
    return IsolatedEnvironmentManager(lambda: tools, policy=policy, metrics=metrics, on_close=close)


async def touch(env: TestEnvironment) -> None:
    """One small thing with each resource."""
    assert (await env.http.get("/healthz")).status_code == 200
    assert await env.database.fetchval("SELECT 1") == 1
    assert await env.redis.incr("n") == 1
    assert await env.clickhouse.execute("SELECT 1") == [(1,)]
    await env.websocket.send_message({"n": 1})
    assert await env.websocket.receive_message() == {"n": 1}
    await env.filesystem.create_file("a", "x")


async def one(manager: IsolatedEnvironmentManager, *, pause: float = 0.0) -> tuple[float, float]:
    """Seconds until one was ready, and until everything in it had answered once."""
    asked = time.perf_counter()
    async with manager.create_test_environment("bench") as env:
        ready = time.perf_counter() - asked
        await touch(env)
        used = time.perf_counter() - asked
        await asyncio.sleep(pause)
    return ready, used


async def together(manager: IsolatedEnvironmentManager, count: int) -> float:
    """Seconds for ``count`` environments that all exist at the same moment, up and down."""
    here = asyncio.Barrier(count)

    async def each() -> None:
        async with manager.create_test_environment("bench"):
            await here.wait()

    began = time.perf_counter()
    await asyncio.gather(*(each() for _ in range(count)))
    return time.perf_counter() - began


class Peak:
    """The most memory that this process and its servers hold together, looked at ten times a second."""

    def __init__(self, processes: list[psutil.Process]) -> None:
        self._processes = processes
        self.mib = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._stop.wait(0.1):
            self.mib = max(self.mib, memory_of(self._processes)[0])


async def measure_all(settings: Settings, files: Path, stack: NativeStack) -> list[Section]:
    rows: list[tuple[str, str]] = []
    manager = await make_manager(settings, "CI_FAST", files).initialize()
    await one(manager)
    alone = [await one(manager, pause=PAUSE) for _ in range(SINGLE)]
    ready, used = ([each[n] for each in alone] for n in (0, 1))
    for name, values in (("ready", ready), ("ready, and each resource used once", used)):
        rows.append((f"one environment {name}, median ms", f"{statistics.median(values) * 1000:.1f}"))
        rows.append((f"one environment {name}, 95 % ms", f"{percentile(values, 95) * 1000:.1f}"))
    await manager.shutdown()

    manager = await make_manager(settings, "CI_THOROUGH", files).initialize()
    await together(manager, 20)
    took = [await together(manager, 20) for _ in range(ROUNDS)]
    rows.append((f"20 at once, up and down, median of {ROUNDS}, s", f"{statistics.median(took):.2f}"))
    await manager.shutdown()

    manager = await make_manager(settings, "PRODUCTION", files).initialize()
    with Peak([psutil.Process(), *stack.processes()]) as peak:
        took = [await together(manager, 50)]
    rows.append(("50 at once, up and down, s", f"{took[0]:.2f}"))
    rows.append(("50 at once, peak of servers and clients together, MiB", f"{peak.mib:.0f}"))
    await manager.shutdown()
    rows += await long_run(settings, files)
    text = f"{machine()}. An environment has all seven resources; its service is the reference service."
    return [Section("Environments", f"{text}\n\n{table(('what', 'figure'), rows)}")]


async def long_run(settings: Settings, files: Path) -> list[tuple[str, str]]:
    """The hit ratio of many tests in a row."""
    manager = await make_manager(settings, "CI_FAST", files).initialize()
    manager.metrics.acquisitions.clear()
    manager.metrics.environments.clear()
    left = iter(range(TESTS))

    async def worker() -> None:
        for _ in left:
            await one(manager, pause=PAUSE)

    began = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
    took = time.perf_counter() - began
    metrics = manager.metrics
    ratio = ", ".join(f"{each.service} {each.hit_ratio:.1%}" for each in metrics.services())
    await manager.shutdown()
    name = f"{TESTS} tests at CI_FAST, {AT_ONCE} at a time"
    return [
        (f"{name}: ready when asked for", f"{metrics.hit_ratio:.1%} ({ratio})"),
        (f"{name}: environment ready, median ms", f"{percentile(metrics.environments, 50) * 1000:.1f}"),
        (f"{name}: environment ready, 95 % ms", f"{percentile(metrics.environments, 95) * 1000:.1f}"),
        (f"{name}: all, s", f"{took:.1f}"),
    ]


def measure() -> Iterator[Section]:
    """On a native stack of its own, as users have it."""
    logging.getLogger("test_framework").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as name, new_stack(Path(name), seed=None) as stack:
        stack.up()
        settings = replace(load_settings(Path("/nonexistent"), {}), endpoints=stack.state.endpoints)
        yield from asyncio.run(measure_all(settings, Path(name), stack))
