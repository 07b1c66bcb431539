"""Whether the service and what it needs are well."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

from fastapi import APIRouter, Response

from test_framework.external.reference.access import Here
from test_framework.external.reference.models import Health
from test_framework.external.reference.service import Service

__all__ = ["router"]

router = APIRouter(tags=["health"])

_PATIENCE = 5.0


@router.get("/healthz", response_model=Health, responses={503: {"model": Health, "description": "something fails"}})
async def healthz(service: Here, response: Response) -> Any:
    """Ask each database something."""
    found = {"postgres": await _said(service.pool.fetchval("SELECT 1")), "redis": await _said(service.sessions.ping())}
    if service.config.clickhouse_url is not None:
        found["clickhouse"] = await _said(_ask_clickhouse(service))
    ok = all(answer == "ok" for answer in found.values())
    response.status_code = 200 if ok else 503
    return {"status": "ok" if ok else "failing", "services": found}


async def _ask_clickhouse(service: Service) -> None:
    client = await service.clickhouse()
    assert client is not None
    await client.query("SELECT 1")


async def _said(question: Awaitable[Any]) -> str:
    """``ok``, or the kind of error; its text may hold addresses and names."""
    try:
        async with asyncio.timeout(_PATIENCE):
            await question
    except Exception as error:
        return type(error).__name__
    return "ok"
