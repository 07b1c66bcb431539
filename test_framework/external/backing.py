"""What an application under test is told: where the databases of the test are, and which secret signs tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from test_framework.endpoints import ClickHouseEndpoint, PostgresEndpoint, RedisEndpoint, Secret

__all__ = ["Backing"]


@dataclass(frozen=True, kw_only=True)
class Backing:
    """The very databases of the test that calls the application. ``repr`` shows no password.

    Args:
        redis_key_prefix: what every key must begin with, on a Redis with too few databases; else empty.
        jwt_secret: signs the tokens that tests get (``test_user_token``).
    """

    postgres: PostgresEndpoint | None = None
    redis: RedisEndpoint | None = None
    clickhouse: ClickHouseEndpoint | None = None
    redis_key_prefix: str = ""
    jwt_secret: Secret = Secret()

    @property
    def database_url(self) -> str | None:
        """``postgresql://user:password@host:port/name`` with the password in clear."""
        return self.postgres.dsn if self.postgres else None

    @property
    def redis_url(self) -> str | None:
        """``redis://:password@host:port/number`` with the password in clear."""
        return self.redis.url if self.redis else None

    @property
    def clickhouse_url(self) -> str | None:
        """``clickhouse://user:password@host:port/name`` with the password in clear; the port is that of HTTP."""
        return self.clickhouse.url if self.clickhouse else None

    @property
    def secrets(self) -> frozenset[str]:
        """The texts that no log may show."""
        found = {self.jwt_secret.reveal()}
        found |= {each.password.reveal() for each in (self.postgres, self.redis, self.clickhouse) if each}
        return frozenset(text for text in found if text)

    def variables(self) -> Mapping[str, str]:
        """The environment by which an application finds all of it, under the usual names and under ours."""
        found = {
            "DATABASE_URL": self.database_url,
            "REDIS_URL": self.redis_url,
            "CLICKHOUSE_URL": self.clickhouse_url,
            "JWT_SECRET": self.jwt_secret.reveal(),
            "TEST_JWT_SECRET": self.jwt_secret.reveal(),
            **_parts(self.postgres, self.redis, self.clickhouse),
        }
        return {name: value for name, value in found.items() if value}


def _parts(
    postgres: PostgresEndpoint | None, redis: RedisEndpoint | None, clickhouse: ClickHouseEndpoint | None
) -> dict[str, str]:
    found: dict[str, str] = {}
    if postgres is not None:
        found |= _common("TEST_POSTGRES", postgres.host, postgres.password)
        found |= {"TEST_POSTGRES_PORT": str(postgres.port), "TEST_POSTGRES_USER": postgres.user}
        found["TEST_POSTGRES_DB"] = postgres.database
    if redis is not None:
        found |= _common("TEST_REDIS", redis.host, redis.password)
        found |= {"TEST_REDIS_PORT": str(redis.port), "TEST_REDIS_DB": str(redis.database)}
    if clickhouse is not None:
        found |= _common("TEST_CLICKHOUSE", clickhouse.host, clickhouse.password)
        found |= {"TEST_CLICKHOUSE_HTTP_PORT": str(clickhouse.port), "TEST_CLICKHOUSE_USER": clickhouse.user}
        found["TEST_CLICKHOUSE_DB"] = clickhouse.database
    return found


def _common(prefix: str, host: str, password: Secret) -> dict[str, str]:
    return {f"{prefix}_HOST": host, f"{prefix}_PASSWORD": password.reveal()}
