"""Fixtures that a rewritten file defines for itself, and the imports that new lines need."""

from __future__ import annotations

__all__ = ["IMPORTS", "local_fixture"]

IMPORTS = {
    "asyncpg": "import asyncpg",
    "contextlib": "import contextlib",
    "json": "import json",
    "httpx": "import httpx",
    "uuid": "import uuid",
    "SentRequests": "from test_framework.external.http_sent import SentRequests",
    "pytest": "import pytest",
    "pytest_asyncio": "import pytest_asyncio",
    "SyncRedis": "from redis import Redis as SyncRedis",
    "AsyncRedis": "from redis.asyncio import Redis as AsyncRedis",
}


_FIXTURES = {
    "real_pool": (
        "async def real_pool(postgres_dsn):\n"
        "    async with asyncpg.create_pool(postgres_dsn, min_size=1, max_size=4) as pool:\n"
        "        yield pool\n"
    ),
    "real_http_sync": (
        "def real_http_sync(service_url):\n"
        "    with httpx.Client(base_url=service_url) as client:\n"
        "        client.sent = SentRequests(service_url)\n"
        '        client.event_hooks = {"request": [client.sent.add]}\n'
        "        yield client\n"
    ),
    "real_redis_sync": (
        "def real_redis_sync(redis_url):\n"
        "    with SyncRedis.from_url(redis_url, decode_responses=True) as client:\n"
        "        yield client\n"
    ),
    "real_redis_sync_bytes": (
        "def real_redis_sync_bytes(redis_url):\n"
        "    with SyncRedis.from_url(redis_url) as client:\n"
        "        yield client\n"
    ),
    "real_redis_bytes": (
        "async def real_redis_bytes(redis_url):\n"
        "    async with AsyncRedis.from_url(redis_url) as client:\n"
        "        yield client\n"
    ),
}


def local_fixture(name: str, *, anyio: bool) -> str:
    text = _FIXTURES[name]
    decorator = "pytest_asyncio.fixture" if text.startswith("async") and not anyio else "pytest.fixture"
    return f"@{decorator}\n{text}"
