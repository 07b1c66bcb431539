"""The composition root: endpoints and an identity become leases. Drivers are loaded at the first lease, not before."""

from __future__ import annotations

from test_framework.endpoints import Endpoints
from test_framework.environment.broker import Broker
from test_framework.isolation.values import Identity, IsolationOptions, Lease, LeaseInfo, ReapReport

__all__ = ["Broker", "Identity", "IsolationOptions", "Lease", "LeaseInfo", "ReapReport", "reap"]


async def reap(endpoints: Endpoints, *, timeout: float = 30.0, kept: bool = False) -> ReapReport:
    """Reclaim what dead sessions left in all three services.

    Args:
        timeout: seconds for one statement.
        kept: drop what users asked to keep, too.

    Raises:
        ServiceUnavailable: Postgres, which keeps the books, does not answer.
    """
    from test_framework.services.reaping import reap as work

    return await work(endpoints, timeout=timeout, kept=kept)
