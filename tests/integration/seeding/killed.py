"""A seeder that kills itself: run as a process, one child per kill, so that only the first pays for the imports.

Reads lines ``number mode folder endpoints-json`` and answers each with the child's exit status. The child seeds
``folder`` and dies by SIGKILL at the ``number``-th statement that changes something, ``before`` or ``during`` it.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg

from test_framework.endpoints import Endpoints
from test_framework.seeding import seed_all
from test_framework.services.clickhouse.client import ClickHouseClient
from test_framework.services.postgres import seeding as _loaded  # noqa: F401 - imported before forking, not once per child
from test_framework.services.redis.client import RedisClient
from test_framework.services.redis.seeding import seed as _loaded_too  # noqa: F401 - the same
from tests.seeds import plan_of

_READING = re.compile(r"\s*(select|show)\b", re.IGNORECASE)


def _deadly(call: Callable[..., Awaitable[Any]], countdown: Countdown) -> Callable[..., Awaitable[Any]]:
    async def wrapped(self: Any, *arguments: Any, **options: Any) -> Any:
        statement = arguments[0] if arguments else ""
        if isinstance(statement, str) and _READING.match(statement):
            return await call(self, *arguments, **options)
        return await countdown.around(call(self, *arguments, **options))

    return wrapped


class Countdown:
    """Counts statements down to the deadly one."""

    def __init__(self, number: int, mode: str) -> None:
        self._left = number
        self._mode = mode

    async def around(self, call: Awaitable[Any]) -> Any:
        self._left -= 1
        if self._left == 0:
            if self._mode == "during":
                sending = asyncio.ensure_future(call)
                await asyncio.sleep(0.002)
                del sending
            os.kill(os.getpid(), signal.SIGKILL)
        return await call


def _arm(countdown: Countdown) -> None:
    for owner, names in (
        (asyncpg.Connection, ("execute", "copy_to_table")),
        (ClickHouseClient, ("execute",)),
        (RedisClient, ("pipeline",)),
    ):
        for name in names:
            setattr(owner, name, _deadly(getattr(owner, name), countdown))


def _child(number: int, mode: str, folder: Path, endpoints: Endpoints) -> None:
    _arm(Countdown(number, mode))
    asyncio.run(seed_all(endpoints, plan_of(folder, {})))


def main() -> None:
    for line in sys.stdin:
        number, mode, folder, endpoints = line.rstrip("\n").split(" ", 3)
        pid = os.fork()
        if pid == 0:
            try:
                _child(int(number), mode, Path(folder), Endpoints.from_dict(json.loads(endpoints)))
            finally:
                sys.stdout.flush()
                os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
