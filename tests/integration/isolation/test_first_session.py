"""The first sessions on a stack where nobody had one, and a session that ends while it is still beginning."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from test_framework.environment import Broker
from test_framework.services.postgres.client import CONTROL_DATABASE, connect
from test_framework.services.postgres.ledger_schema import ensure_schema, has_schema
from tests.seeded_stack import Stack

ROOT = Path(__file__).resolve().parents[3]
_FRESH = "DROP VIEW IF EXISTS public.active_leases; DROP SCHEMA IF EXISTS isolation CASCADE"


async def _forget_everything(stack: Stack) -> None:
    async with connect(stack.endpoints.postgres, database=CONTROL_DATABASE, timeout=10) as connection:
        await connection.execute(_FRESH)


async def test_everybody_who_comes_first_at_once_finds_the_books_made(stack: Stack) -> None:
    endpoint = stack.endpoints.postgres
    async with contextlib.AsyncExitStack() as opened:
        connections = [
            await opened.enter_async_context(connect(endpoint, database=CONTROL_DATABASE, timeout=30))
            for _ in range(16)
        ]
        for _ in range(5):
            await connections[0].execute(_FRESH)
            # Each knows for certain that there is nothing, as a server process that has looked remembers.
            assert not any([await has_schema(connection) for connection in connections])
            await asyncio.gather(*(ensure_schema(connection) for connection in connections))
            assert all([await has_schema(connection) for connection in connections])


async def test_many_processes_at_once_begin_their_sessions_on_a_fresh_stack(stack: Stack) -> None:
    await _forget_everything(stack)
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.faults.isolation_worker", "--ready"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
        )
        for _ in range(6)
    ]  # fmt: skip
    order = {"endpoints": stack.endpoints.as_dict(), "action": "first", "workers": 6}
    try:
        for process in processes:
            assert process.stdout is not None
            assert await asyncio.to_thread(process.stdout.readline) == '{"ready": true}\n'
        for number, process in enumerate(processes):
            assert process.stdin is not None
            process.stdin.write(json.dumps({**order, "worker": f"gw{number}"}) + "\n")
            process.stdin.flush()
        ended = [(await asyncio.to_thread(process.communicate, timeout=100))[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    assert ended == ['{"done": true}\n'] * 6


async def test_a_session_that_ends_while_it_is_still_beginning_leaves_nothing_half_made(
    make_broker: Callable[..., Broker], stack: Stack
) -> None:
    first = make_broker()
    await first.aacquire("redis")
    await asyncio.to_thread(first.close)
    for pause in (0.0, 0.01, 0.03, 0.06, 0.1):
        broker = make_broker(pool_size=2)
        broker.warm(["postgres", "redis", "clickhouse"])
        await asyncio.sleep(pause)
        await asyncio.to_thread(broker.close)
        assert {state for _, _, state in await stack.books()} <= {"ready"}
        assert await stack.sql("SELECT count(*) FROM isolation.sessions") == [(0,)]
