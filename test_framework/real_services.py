"""The manager of the real services, by import.

    from test_framework.real_services import get_real_services

    services = get_real_services()
    await services.ensure_all_services_available()
    async with services.postgres.connection() as connection:
        ...

In a running test it is that test's own manager, the same as the fixture ``real_services``. Anywhere else it is the
process's: it acquires namespaces of its own when they are asked for, and gives them back at ``await services.aclose()``
or when the process ends.
"""

from __future__ import annotations

from test_framework.manager.access import get_real_services
from test_framework.manager.services import PostgresAccess, RealServices, ServicesConfig

__all__ = ["PostgresAccess", "RealServices", "ServicesConfig", "get_real_services"]
