"""The addresses of what a test owns, as small values for any driver. Their reprs show no password."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self, cast

from test_framework.endpoints import PostgresEndpoint, RedisEndpoint
from test_framework.isolation.values import Lease
from test_framework.plugin.masked import MaskedText

__all__ = ["OwnPostgres", "OwnRedis"]


@dataclass(frozen=True, kw_only=True)
class OwnPostgres:
    """A PostgreSQL database of the test's own.

    Args:
        dsn: ``postgresql://…`` with the password in clear, for asyncpg, psycopg and libpq.
    """

    name: str
    host: str
    port: int
    user: str
    password: str = field(repr=False)
    dsn: str = field(repr=False)

    @classmethod
    def of(cls, endpoint: PostgresEndpoint) -> Self:
        return cls(
            name=endpoint.database,
            host=endpoint.host,
            port=endpoint.port,
            user=endpoint.user,
            password=MaskedText(endpoint.password.reveal(), shown="***"),
            dsn=MaskedText(endpoint.dsn, shown=endpoint.safe_dsn),
        )

    @property
    def database(self) -> str:
        """The name, as most drivers call it."""
        return self.name

    def sqlalchemy_url(self, driver: str) -> str:
        """``postgresql+driver://…``, for example with ``asyncpg`` or ``psycopg``."""
        shown = repr(self.dsn).strip("'").replace("postgresql://", f"postgresql+{driver}://", 1)
        return MaskedText(self.dsn.replace("postgresql://", f"postgresql+{driver}://", 1), shown=shown)


@dataclass(frozen=True, kw_only=True)
class OwnRedis:
    """A Redis database of the test's own.

    Args:
        key_prefix: what every key must begin with, on a server with too few databases; else ``None``.
        url: ``redis://…`` with the password in clear.
    """

    host: str
    port: int
    db: int
    password: str | None = field(repr=False)
    ssl: bool
    ssl_ca_certs: str | None
    key_prefix: str | None
    url: str = field(repr=False)

    @classmethod
    def of(cls, lease: Lease) -> Self:
        endpoint = cast(RedisEndpoint, lease.endpoint)
        secret = endpoint.password.reveal()
        return cls(
            host=endpoint.host,
            port=endpoint.port,
            db=endpoint.database,
            password=MaskedText(secret, shown="***") if secret else None,
            ssl=endpoint.ssl,
            ssl_ca_certs=endpoint.ssl_ca_certs,
            key_prefix=lease.key_prefix,
            url=MaskedText(endpoint.url, shown=endpoint.safe_url),
        )

    @property
    def config(self) -> dict[str, Any]:
        """Keyword arguments for a client of redis-py; any other finds its own among them."""
        values = {"host": self.host, "port": self.port, "db": self.db, "password": self.password, "ssl": self.ssl}
        return {**values, "ssl_ca_certs": self.ssl_ca_certs} if self.ssl_ca_certs else values
