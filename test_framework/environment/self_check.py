"""``validate``: try on the running stack what isolation promises, instead of believing it."""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace

import asyncpg

from test_framework.endpoints import Endpoints, PostgresEndpoint, RedisEndpoint
from test_framework.environment.broker import Broker
from test_framework.errors import FrameworkError
from test_framework.isolation.values import Identity, IsolationOptions, Lease
from test_framework.services.clickhouse.client import ClickHouseReplyError
from test_framework.services.clickhouse.client import connect as connect_clickhouse
from test_framework.services.postgres.client import MAINTENANCE_DATABASE
from test_framework.services.postgres.client import connect as connect_postgres
from test_framework.services.redis.client import RedisReplyError
from test_framework.services.redis.client import connect as connect_redis
from test_framework.stack.checks import Check

__all__ = ["check_isolation"]

_TIMEOUT = 30.0
# So many sessions at once, each with so many namespaces of each service.
_SESSIONS = 4
_LEASES = 3
_TRACE = "tf_self_check"
_ERRORS = (FrameworkError, RedisReplyError, ClickHouseReplyError, asyncpg.PostgresError, OSError)


async def _write(lease: Lease) -> None:
    """Leave a trace in what was leased."""
    if isinstance(lease.endpoint, PostgresEndpoint):
        async with connect_postgres(lease.endpoint, timeout=_TIMEOUT, application="check") as connection:
            await connection.execute(f"CREATE TABLE public.{_TRACE} (v int)")
    elif isinstance(lease.endpoint, RedisEndpoint):
        async with connect_redis(lease.endpoint) as redis:
            await redis.call("SET", f"{lease.key_prefix or ''}{_TRACE}", "1")
    else:
        async with connect_clickhouse(lease.endpoint, timeout=_TIMEOUT) as clickhouse:
            await clickhouse.execute(f"CREATE TABLE {_TRACE} (v Int8) ENGINE = Memory", database=lease.name)


async def _sees_trace(lease: Lease) -> bool:
    if isinstance(lease.endpoint, PostgresEndpoint):
        async with connect_postgres(lease.endpoint, timeout=_TIMEOUT, application="check") as connection:
            return await connection.fetchval("SELECT to_regclass($1)::text", f"public.{_TRACE}") is not None
    if isinstance(lease.endpoint, RedisEndpoint):
        async with connect_redis(lease.endpoint) as redis:
            return bool(await redis.call("EXISTS", f"{lease.key_prefix or ''}{_TRACE}"))
    async with connect_clickhouse(lease.endpoint, timeout=_TIMEOUT) as clickhouse:
        rows = await clickhouse.rows(f"EXISTS TABLE {_TRACE}", database=lease.endpoint.database)
        return bool(int(rows[0][0]))


async def _still_there(endpoints: Endpoints, lease: Lease) -> bool:
    """Whether the server still has what was given back, with what was written into it."""
    if isinstance(lease.endpoint, PostgresEndpoint):
        opened = connect_postgres(
            endpoints.postgres, database=MAINTENANCE_DATABASE, timeout=_TIMEOUT, application="check"
        )
        async with opened as connection:
            return bool(
                await connection.fetchval("SELECT count(*) FROM pg_catalog.pg_database WHERE datname = $1", lease.name)
            )
    if isinstance(lease.endpoint, RedisEndpoint):
        return await _sees_trace(lease)
    async with connect_clickhouse(endpoints.clickhouse, timeout=_TIMEOUT) as clickhouse:
        rows = await clickhouse.rows(
            "SELECT name FROM system.databases WHERE name = {name:String}", {"name": lease.name}
        )
        return bool(rows)


async def check_isolation(endpoints: Endpoints, *, prefix: str = "apes_check") -> list[Check]:
    """Lease, write, look from elsewhere, give back, and look again: three checks for each service that there is."""
    checks = []
    for service in ("postgres", "redis", "clickhouse"):
        if getattr(endpoints, service).configured:
            checks += await _check_service(endpoints, service, prefix)
    return checks


async def _check_service(endpoints: Endpoints, service: str, prefix: str) -> list[Check]:
    brokers = [
        Broker(
            endpoints,
            Identity(run_id=secrets.token_hex(8), worker_id=f"check{number}", workers=_SESSIONS),
            options=IsolationOptions(prefix=prefix, pool_size=0, lease_timeout=_TIMEOUT),
        )
        for number in range(_SESSIONS)
    ]
    leases: list[Lease] = []
    try:
        checks = [await _tried(service, work, endpoints, brokers, leases) for work in (_concurrency, _isolation)]
    finally:
        await asyncio.gather(*(asyncio.to_thread(broker.close) for broker in brokers))
    return [*checks, await _tried(service, _clean_up, endpoints, brokers, leases)]


Work = Callable[[Endpoints, list[Broker], list[Lease], str], Awaitable[Check]]


async def _tried(service: str, work: Work, endpoints: Endpoints, brokers: list[Broker], leases: list[Lease]) -> Check:
    try:
        return await work(endpoints, brokers, leases, service)
    except _ERRORS as error:
        name = f"{service} {work.__name__.strip('_').replace('_', '-')}"
        return Check(name, ok=False, found=str(error).splitlines()[0], fix="make test-status, make test-logs")


async def _concurrency(endpoints: Endpoints, brokers: list[Broker], leases: list[Lease], service: str) -> Check:
    del endpoints
    found = await asyncio.gather(*(broker.aacquire(service) for broker in brokers for _ in range(_LEASES)))
    leases += found
    twice = [name for name, count in Counter(lease.name for lease in found).items() if count > 1]
    conflicts = [line for broker in brokers for line in await broker.aconflicts()]
    text = f"{len(found)} namespaces for {len(brokers)} sessions at once, none shared"
    problem = "; ".join([f"{name} was handed out twice" for name in twice] + conflicts)
    return Check(f"{service} concurrency", not problem, problem or text, "this is a defect: report it")


async def _isolation(endpoints: Endpoints, brokers: list[Broker], leases: list[Lease], service: str) -> Check:
    if not leases:
        leases.append(await brokers[0].aacquire(service))
    base = replace(leases[0], endpoint=getattr(endpoints, service), key_prefix=None)
    await _write(leases[0])
    others = [*leases[1:], base]
    seen = [lease.name for lease in others if await _sees_trace(lease)]
    written = await _sees_trace(leases[0])
    ok = written and not seen
    text = f"what one writes, {len(others)} others do not see"
    return Check(f"{service} isolation", ok, text if ok else f"seen by {', '.join(seen) or 'nobody'}", "report it")


async def _clean_up(endpoints: Endpoints, brokers: list[Broker], leases: list[Lease], service: str) -> Check:
    del brokers
    left = [lease.name for lease in leases if await _still_there(endpoints, lease)]
    text = f"all {len(leases)} namespaces are gone"
    return Check(f"{service} clean-up", not left, f"left: {', '.join(left)}" if left else text, "test-framework reap")
