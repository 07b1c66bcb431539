"""Redis behind the service protocol."""

from __future__ import annotations

from collections.abc import Sequence

from test_framework.endpoints import Endpoints
from test_framework.errors import SeedError
from test_framework.services.base import FixtureFile, Probe, SeedOutcome, SeedRequest, SeedState

__all__ = ["REDIS", "RedisService"]


class RedisService:
    """See :class:`~test_framework.services.base.Service`."""

    name = "redis"
    compose_name = "test-redis"
    suffixes = frozenset({".yaml", ".yml", ".json"})

    async def probe(self, endpoints: Endpoints, timeout: float) -> Probe:
        from test_framework.services.redis.client import probe

        return await probe(endpoints.redis, timeout)

    def check(self, files: Sequence[FixtureFile]) -> list[SeedError]:
        from test_framework.services.redis.loading import check

        return check(files)

    async def settings(self, endpoints: Endpoints, timeout: float) -> dict[str, str]:
        from test_framework.services.redis.settings import live_settings

        return await live_settings(endpoints.redis, timeout)

    async def seed_state(self, endpoints: Endpoints, timeout: float) -> SeedState | None:
        from test_framework.services.redis.client import seed_state

        return await seed_state(endpoints.redis, timeout)

    async def seed(self, endpoints: Endpoints, request: SeedRequest, timeout: float) -> SeedOutcome:
        from test_framework.services.redis.seeding import seed

        return await seed(endpoints.redis, request, timeout)


REDIS = RedisService()
