"""PostgreSQL behind the service protocol. The driver is loaded when a server is asked, not before."""

from __future__ import annotations

from collections.abc import Sequence

from test_framework.endpoints import Endpoints
from test_framework.errors import SeedError
from test_framework.services.base import FixtureFile, Probe, SeedOutcome, SeedRequest, SeedState

__all__ = ["POSTGRES", "PostgresService"]


class PostgresService:
    """See :class:`~test_framework.services.base.Service`."""

    name = "postgres"
    compose_name = "test-postgres"
    suffixes = frozenset({".sql", ".csv", ".json", ".jsonl"})

    async def probe(self, endpoints: Endpoints, timeout: float) -> Probe:
        from test_framework.services.postgres.client import probe

        return await probe(endpoints.postgres, timeout)

    def check(self, files: Sequence[FixtureFile]) -> list[SeedError]:
        from test_framework.services.postgres.loading import check

        return check(files)

    async def settings(self, endpoints: Endpoints, timeout: float) -> dict[str, str]:
        from test_framework.services.postgres.settings import live_settings

        return await live_settings(endpoints.postgres, timeout)

    async def seed_state(self, endpoints: Endpoints, timeout: float) -> SeedState | None:
        from test_framework.services.postgres.client import seed_state

        return await seed_state(endpoints.postgres, timeout)

    async def seed(self, endpoints: Endpoints, request: SeedRequest, timeout: float) -> SeedOutcome:
        from test_framework.services.postgres.seeding import seed

        return await seed(endpoints.postgres, request, timeout)


POSTGRES = PostgresService()
