"""``create_app()``: the service as an ASGI application, for uvicorn or any other server.

    JWT_SECRET=… DATABASE_URL=… REDIS_URL=… uvicorn --factory test_framework.external.reference.app:create_app

The routes are made once for the whole process, since that takes a tenth of a second. What belongs to one running
service, its connections above all, is made by its lifespan and reaches the routes as ``request.state.service``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from starlette.applications import Starlette

from test_framework.external.backing import Backing
from test_framework.external.reference import (
    agent_routes,
    auth_routes,
    conversation_routes,
    event_routes,
    health_routes,
    organization_routes,
    user_routes,
    websocket_routes,
)
from test_framework.external.reference.config import ServiceConfig
from test_framework.external.reference.problems import add_handlers
from test_framework.external.reference.service import Service, opened_service

__all__ = ["create_app", "description"]

_ROUTERS = (
    auth_routes,
    user_routes,
    organization_routes,
    agent_routes,
    conversation_routes,
    event_routes,
    health_routes,
    websocket_routes,
)


def create_app(urls: Backing | None = None, config: ServiceConfig | None = None) -> Starlette:
    """The service on the databases of ``urls``, of ``config``, or of the environment.

    Raises:
        LookupError: the environment lacks something.
    """
    chosen = config or (ServiceConfig.of(urls) if urls is not None else ServiceConfig.from_environment())

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[dict[str, Service]]:
        async with opened_service(chosen) as service:
            yield {"service": service}

    app = Starlette(lifespan=lifespan)
    app.router.default = _API
    return app


def _make_api() -> FastAPI:
    api = FastAPI(
        title="Reference service",
        version="1.0.0",
        description="Users, organisations, agents, conversations and events on PostgreSQL, Redis and ClickHouse.",
    )
    for module in _ROUTERS:
        api.include_router(module.router)
    add_handlers(api)
    return api


_API = _make_api()


def description() -> dict[str, Any]:
    """The OpenAPI description, as ``/openapi.json`` gives it."""
    return _API.openapi()
