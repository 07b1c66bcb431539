"""ClickHouse behind the service protocol."""

from __future__ import annotations

from collections.abc import Sequence

from test_framework.endpoints import Endpoints
from test_framework.errors import SeedError
from test_framework.services.base import FixtureFile, Probe, SeedOutcome, SeedRequest, SeedState

__all__ = ["CLICKHOUSE", "ClickHouseService"]


class ClickHouseService:
    """See :class:`~test_framework.services.base.Service`."""

    name = "clickhouse"
    compose_name = "test-clickhouse"
    suffixes = frozenset({".sql", ".csv", ".tsv", ".json", ".jsonl", ".native", ".parquet"})

    async def probe(self, endpoints: Endpoints, timeout: float) -> Probe:
        from test_framework.services.clickhouse.client import probe

        return await probe(endpoints.clickhouse, timeout)

    def check(self, files: Sequence[FixtureFile]) -> list[SeedError]:
        from test_framework.services.clickhouse.loading import check

        return check(files)

    async def settings(self, endpoints: Endpoints, timeout: float) -> dict[str, str]:
        from test_framework.services.clickhouse.settings import live_settings

        return await live_settings(endpoints.clickhouse, timeout)

    async def seed_state(self, endpoints: Endpoints, timeout: float) -> SeedState | None:
        from test_framework.services.clickhouse.client import seed_state

        return await seed_state(endpoints.clickhouse, timeout)

    async def seed(self, endpoints: Endpoints, request: SeedRequest, timeout: float) -> SeedOutcome:
        from test_framework.services.clickhouse.seeding import seed

        return await seed(endpoints.clickhouse, request, timeout)


CLICKHOUSE = ClickHouseService()
