"""Where each service is: frozen values that any client can be opened from.

An endpoint is plain data, so it crosses processes (xdist workers, the state file) and event loops.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import quote, urlencode

__all__ = [
    "ClickHouseEndpoint",
    "Endpoints",
    "MonitorEndpoint",
    "PostgresEndpoint",
    "RedisEndpoint",
    "Secret",
]

# The host of a service that a project does without.
NOT_THERE = "none"


class Secret:
    """A text that is never shown: ``repr`` and ``str`` give ``***``; ask :meth:`reveal` for the text."""

    __slots__ = ("_text",)

    def __init__(self, text: str = "") -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash(("Secret", self._text))

    def __repr__(self) -> str:
        return "'***'" if self._text else "''"

    def __str__(self) -> str:
        return "***" if self._text else ""


def _url_host(host: str) -> str:
    return f"[{host}]" if ":" in host else host


@dataclass(frozen=True, kw_only=True)
class _Endpoint:
    host: str = "localhost"
    port: int = 0

    @property
    def configured(self) -> bool:
        """Whether there is such a service at all: the host ``none`` says that there is not."""
        return self.host != NOT_THERE

    @property
    def address(self) -> str:
        """``host:port``, for messages."""
        return f"{_url_host(self.host)}:{self.port}"

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values, the password in clear: for the state file (0600) and for workers only."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {name: v.reveal() if isinstance(v, Secret) else v for name, v in values.items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The reverse of :meth:`as_dict`. Unknown keys are ignored, so that an older client can read a newer file."""
        known = {field.name: field for field in dataclasses.fields(cls)}
        picked = {name: value for name, value in values.items() if name in known}
        if "password" in picked:
            picked["password"] = Secret(str(picked["password"]))
        return cls(**picked)


@dataclass(frozen=True, kw_only=True)
class PostgresEndpoint(_Endpoint):
    """A PostgreSQL server and the database and role to use there."""

    port: int = 5434
    user: str = "test_user"
    password: Secret = Secret("test_pass")
    database: str = "netra_test"
    sslmode: str = "prefer"
    sslrootcert: str | None = None

    @property
    def dsn(self) -> str:
        """``postgresql://user:password@host:port/database`` with the password in clear, for any driver."""
        return self._url(quote(self.password.reveal(), safe=""))

    @property
    def safe_dsn(self) -> str:
        """The same without the password, for messages and logs."""
        return self._url("***")

    def _url(self, password: str) -> str:
        options = {}
        if self.sslmode != "prefer":
            options["sslmode"] = self.sslmode
        if self.sslrootcert:
            options["sslrootcert"] = self.sslrootcert
        secret = f":{password}" if self.password else ""
        query = f"?{urlencode(options)}" if options else ""
        return f"postgresql://{quote(self.user, safe='')}{secret}@{self.address}/{quote(self.database, safe='')}{query}"


@dataclass(frozen=True, kw_only=True)
class RedisEndpoint(_Endpoint):
    """A Redis server and the database number to use there."""

    port: int = 6381
    password: Secret = Secret()
    database: int = 0
    ssl: bool = False
    ssl_ca_certs: str | None = None

    @property
    def url(self) -> str:
        """``redis://:password@host:port/number`` (``rediss`` with TLS) with the password in clear."""
        return self._url(quote(self.password.reveal(), safe=""))

    @property
    def safe_url(self) -> str:
        """The same without the password, for messages and logs."""
        return self._url("***")

    def _url(self, password: str) -> str:
        secret = f":{password}@" if self.password else ""
        options = f"?{urlencode({'ssl_ca_certs': self.ssl_ca_certs})}" if self.ssl_ca_certs else ""
        return f"{'rediss' if self.ssl else 'redis'}://{secret}{self.address}/{self.database}{options}"


@dataclass(frozen=True, kw_only=True)
class ClickHouseEndpoint(_Endpoint):
    """The HTTP interface of a ClickHouse server and the database and user to use there."""

    port: int = 8125
    user: str = "test_user"
    password: Secret = Secret("test_pass")
    database: str = "netra_test"
    secure: bool = False
    ca_cert: str | None = None

    @property
    def base_url(self) -> str:
        """``http://host:port`` (``https`` with TLS); credentials go into headers, never into this URL."""
        return f"{'https' if self.secure else 'http'}://{self.address}"

    @property
    def url(self) -> str:
        """``clickhouse://user:password@host:port/database`` with the password in clear."""
        return self._url(quote(self.password.reveal(), safe=""))

    @property
    def safe_url(self) -> str:
        """The same without the password, for messages and logs."""
        return self._url("***")

    def _url(self, password: str) -> str:
        secret = f":{password}" if self.password else ""
        scheme = "clickhouses" if self.secure else "clickhouse"
        return f"{scheme}://{quote(self.user, safe='')}{secret}@{self.address}/{quote(self.database, safe='')}"


@dataclass(frozen=True, kw_only=True)
class MonitorEndpoint(_Endpoint):
    """The monitor that serves ``/health-status``, ``/metrics`` and a page."""

    port: int = 9090

    @property
    def base_url(self) -> str:
        """``http://host:port``."""
        return f"http://{self.address}"


@dataclass(frozen=True, kw_only=True)
class Endpoints:
    """Where the whole stack is."""

    postgres: PostgresEndpoint = PostgresEndpoint()
    redis: RedisEndpoint = RedisEndpoint()
    clickhouse: ClickHouseEndpoint = ClickHouseEndpoint()
    monitor: MonitorEndpoint = MonitorEndpoint()

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values by service, passwords in clear."""
        return {field.name: getattr(self, field.name).as_dict() for field in dataclasses.fields(self)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Endpoints:
        """The reverse of :meth:`as_dict`; a service that is absent keeps its defaults."""
        return cls(
            postgres=PostgresEndpoint.from_dict(values.get("postgres", {})),
            redis=RedisEndpoint.from_dict(values.get("redis", {})),
            clickhouse=ClickHouseEndpoint.from_dict(values.get("clickhouse", {})),
            monitor=MonitorEndpoint.from_dict(values.get("monitor", {})),
        )
