"""Give a test's own Redis database the keys of the seed: copied inside the server, value, type and time to live."""

from __future__ import annotations

import json

from test_framework.endpoints import RedisEndpoint
from test_framework.services.redis.client import MARKER_KEY, ask, connect

__all__ = ["copy_seed"]


async def copy_seed(base: RedisEndpoint, number: int, *, prefix: str | None, timeout: float) -> int:
    """Copy every seeded key of ``base`` to database ``number``, with ``prefix`` in front; how many there were.

    Raises:
        ServiceUnavailable: the server does not answer.
    """

    async def work() -> int:
        async with connect(base) as client:
            keys = json.loads(await client.call("HGET", MARKER_KEY, "keys") or "[]")
            raw = [key.encode("utf-8", "surrogateescape") for key in keys]
            start = (prefix or "").encode()
            copies = [("COPY", key, start + key, "DB", number, "REPLACE") for key in raw]
            return sum(await client.pipeline(copies)) if copies else 0

    return await ask(base, timeout, work)
