"""Reclaim what dead sessions left where no PostgreSQL keeps the books: by keys that expired, and by age."""

from __future__ import annotations

import re
from collections.abc import Sequence

from test_framework.endpoints import Endpoints
from test_framework.errors import FrameworkError
from test_framework.isolation.values import ReapReport
from test_framework.services.base import MARK
from test_framework.services.clickhouse.client import ask as ask_clickhouse
from test_framework.services.clickhouse.client import connect as connect_clickhouse
from test_framework.services.clickhouse.isolation import drop_leased_database
from test_framework.services.redis.client import RedisReplyError
from test_framework.services.redis.expiring import free_expired, living_sessions
from test_framework.services.redis.isolation import RedisAdmin

__all__ = ["live_sessions_by_key", "reap_by_age"]

# Longer than any test run that still uses its databases; its tables are made anew for each test.
_AGE = 6 * 3600
_NAME = re.compile(r"[a-z][a-z0-9_]*_[a-z0-9]{1,20}_[0-9a-f]{8}")
_OLD = f"""
SELECT d.name FROM system.databases d JOIN system.tables t ON t.database = d.name
WHERE d.comment = '{MARK}' GROUP BY d.name HAVING max(t.metadata_modification_time) < now() - {{age:UInt32}}
"""


async def reap_by_age(endpoints: Endpoints, *, timeout: float, age: float = _AGE) -> ReapReport:
    """Free Redis numbers of sessions that live no more; drop ClickHouse databases of ours of ``age`` seconds."""
    reclaimed: dict[str, int] = {}
    failures: list[str] = []
    sessions = 0
    admin = RedisAdmin(endpoints.redis, timeout)
    try:
        sessions, reclaimed["redis"] = await free_expired(admin)
    except (FrameworkError, RedisReplyError) as error:
        failures.append(f"redis: {error}")
    finally:
        await admin.close()
    try:
        reclaimed["clickhouse"] = await ask_clickhouse(
            endpoints.clickhouse, timeout, lambda: _drop_old(endpoints, timeout, int(age))
        )
    except FrameworkError as error:
        failures.append(f"clickhouse: {error}")
    found = {service: count for service, count in reclaimed.items() if count}
    return ReapReport(sessions=sessions, reclaimed=found, failures=tuple(failures))


async def _drop_old(endpoints: Endpoints, timeout: float, age: int) -> int:
    async with connect_clickhouse(endpoints.clickhouse, timeout=timeout) as client:
        rows = await client.rows(_OLD, {"age": str(age)})
        names = [name for (name,) in rows if _NAME.fullmatch(name)]
        for name in names:
            await drop_leased_database(client, name)
        return len(names)


async def live_sessions_by_key(endpoints: Endpoints, *, timeout: float) -> Sequence[str]:
    """The sessions that hold Redis numbers and live, each as a phrase."""
    admin = RedisAdmin(endpoints.redis, timeout)
    try:
        return [f"session {owner}" for owner in await living_sessions(admin)]
    finally:
        await admin.close()
