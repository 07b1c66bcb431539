"""A worker process for the fault tests: it leases, and dies where it is told to. Reads one JSON object from stdin.

Keys: ``endpoints``, ``worker``, ``action`` (``hold``, ``cycle``, ``first``, ``reap`` or ``hammer``), ``leases``, and
``die`` (``module:Class.method:n:when``). Prints one JSON line per event.
"""

from __future__ import annotations

import asyncio
import functools
import importlib
import json
import os
import random
import signal
import socket
import sys
import time
from typing import Any

from test_framework.endpoints import ClickHouseEndpoint, Endpoints, PostgresEndpoint, RedisEndpoint
from test_framework.environment import Broker, Identity, IsolationOptions, Lease


def say(**values: Any) -> None:
    print(json.dumps(values), flush=True)


def die_at(point: str) -> None:
    """Make the process kill itself before or after the ``n``-th call of a coroutine method."""
    module, path, count, when = point.split(":")
    owner = getattr(importlib.import_module(module), path.split(".")[0])
    name = path.split(".")[1]
    original = getattr(owner, name)
    calls = 0

    @functools.wraps(original)
    async def lethal(*args: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        mine = calls == int(count)
        if mine and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = await original(*args, **options)
        if mine:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, lethal)


async def write(lease: Lease) -> None:
    """Leave something behind in whatever was leased."""
    if isinstance(lease.endpoint, PostgresEndpoint):
        import asyncpg

        connection = await asyncpg.connect(lease.endpoint.dsn)
        await connection.execute("INSERT INTO users (email) VALUES ('left@behind.example')")
    elif isinstance(lease.endpoint, RedisEndpoint):
        from test_framework.services.redis.client import connect

        async with connect(lease.endpoint) as client:
            await client.call("SET", "left", "behind")
    elif isinstance(lease.endpoint, ClickHouseEndpoint):
        from test_framework.services.clickhouse.client import ClickHouseClient

        client = ClickHouseClient(lease.endpoint, 30)
        await client.execute("TRUNCATE TABLE user_events", database=lease.name)
        client.close()


async def cycle(broker: Broker) -> None:
    """Lease, write and give back, everywhere."""
    for _ in range(3):
        for service in ("postgres", "redis", "clickhouse"):
            lease = await broker.aacquire(service)
            await write(lease)
            await broker.arelease(lease)


async def touch(lease: Lease) -> bool:
    """Whether nobody else is in what was leased: whoever comes second finds the mark of the first."""
    if isinstance(lease.endpoint, RedisEndpoint):
        from test_framework.services.redis.client import connect

        async with connect(lease.endpoint) as client:
            return bool(await client.call("SET", "owner", "somebody", "NX"))
    return True


def be_like_all_others() -> None:
    """As the workers of two machines may be: nothing that a process is known by tells them apart."""
    random.seed(os.urandom(8))
    os.getpid = lambda: 4711
    socket.gethostname = lambda: "twin"


async def hammer(make: Any, leases: int) -> None:
    """Many leases, several at a time, over several sessions; each is told with the time it was held."""
    dice = random.Random(random.random())
    left = leases
    while left > 0:
        broker = make()
        held: list[tuple[Lease, int]] = []
        for _ in range(min(left, 100)):
            service = dice.choices(("redis", "postgres", "clickhouse"), (80, 17, 3))[0]
            lease = await broker.aacquire(service)
            held.append((lease, time.monotonic_ns()))
            if not await touch(lease):
                say(shared=lease.name)
            left -= 1
            while len(held) > dice.randrange(1, 5):
                lease, since = held.pop(dice.randrange(len(held)))
                until = time.monotonic_ns()
                say(service=lease.service, name=lease.name, since=since, until=until)
                await broker.arelease(lease)
        for lease, since in held:
            say(service=lease.service, name=lease.name, since=since, until=time.monotonic_ns())
        await asyncio.to_thread(broker.close)


def main() -> None:
    if "--ready" in sys.argv:
        import test_framework.environment.engine
        import test_framework.services.postgres.ledger  # noqa: F401 - loaded before everybody starts at once

        say(ready=True)
    order = json.loads(sys.stdin.readline())
    endpoints = Endpoints.from_dict(order["endpoints"])
    if order.get("die"):
        die_at(order["die"])

    def make() -> Broker:
        identity = Identity(run_id=os.urandom(8).hex(), worker_id=order["worker"], workers=order.get("workers", 1))
        return Broker(endpoints, identity, options=IsolationOptions(pool_size=1, lease_timeout=90))

    if order["action"] == "reap":
        from test_framework.environment import reap

        asyncio.run(reap(endpoints))
        return
    if order["action"] == "hammer":
        be_like_all_others()
        asyncio.run(hammer(make, order["leases"]))
        return
    broker = make()
    if order["action"] == "first":
        broker.release(broker.acquire("redis"))
        broker.close()
        say(done=True)
        return
    if order["action"] == "cycle":
        asyncio.run(cycle(broker))
        broker.close()
        say(done=True)
        return
    leases = [broker.acquire(service) for service in ("postgres", "redis", "clickhouse")]
    for lease in leases:
        asyncio.run(write(lease))
    say(leases={lease.service: lease.name for lease in leases})
    sys.stdin.readline()
    for lease in leases:
        broker.release(lease)
    broker.close()
    say(done=True)


if __name__ == "__main__":
    main()
