"""The services there are. A fourth one is one folder beside the others and one line here."""

from __future__ import annotations

from test_framework.errors import SettingsError
from test_framework.services.base import Service
from test_framework.services.clickhouse import CLICKHOUSE
from test_framework.services.postgres import POSTGRES
from test_framework.services.redis import REDIS

__all__ = ["SERVICES", "service_named"]

SERVICES: tuple[Service, ...] = (POSTGRES, REDIS, CLICKHOUSE)


def service_named(name: str) -> Service:
    """The service called ``name``: ``postgres`` or ``test-postgres``.

    Raises:
        SettingsError: there is none.
    """
    for service in SERVICES:
        if name in (service.name, service.compose_name):
            return service
    raise SettingsError(
        f"there is no service {name!r}", fix=f"use one of {', '.join(service.name for service in SERVICES)}"
    )
