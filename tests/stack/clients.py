"""Clients of a stack of containers, through its published ports."""

from __future__ import annotations

import urllib.error
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from tests.stack.compose_stack import ComposeStack

__all__ = ["clickhouse", "clickhouse_rows", "monitor", "postgres", "redis_client"]


@asynccontextmanager
async def postgres(stack: ComposeStack, password: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(
        host="127.0.0.1",
        port=stack.port("test-postgres", 5432),
        user="test_user",
        password=password,
        database="netra_test",
    )
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def redis_client(stack: ComposeStack, password: str | None) -> AsyncIterator[Any]:
    client = redis.asyncio.Redis(
        host="127.0.0.1",
        port=stack.port("test-redis", 6379),
        password=password,
        decode_responses=True,
        retry=Retry(NoBackoff(), 0),
    )
    try:
        yield client
    finally:
        await client.aclose()


def clickhouse(stack: ComposeStack, query: str, password: str | None, user: str = "test_user") -> tuple[int, str]:
    """HTTP status and text of the answer; ``None`` as the password sends no credentials at all."""
    url = f"http://127.0.0.1:{stack.port('test-clickhouse', 8123)}/?database=netra_test"
    headers = {} if password is None else {"X-ClickHouse-User": user, "X-ClickHouse-Key": password}
    request = urllib.request.Request(url, data=query.encode(), headers=headers)
    return _answer(request)


def clickhouse_rows(stack: ComposeStack, query: str, password: str) -> list[list[str]]:
    status, text = clickhouse(stack, query, password)
    assert status == 200, text
    return [line.split("\t") for line in text.splitlines()]


def monitor(stack: ComposeStack, path: str) -> tuple[int, str]:
    return _answer(urllib.request.Request(f"http://127.0.0.1:{stack.port('test-monitor', 9090)}{path}"))


def _answer(request: urllib.request.Request) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return int(response.status), response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
