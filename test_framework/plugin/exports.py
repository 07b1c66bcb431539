"""The variables through which the user's application finds the stack, set before it is imported."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import dataclass

import pytest

from test_framework.endpoints import Endpoints

__all__ = ["Export", "export", "parse_exports", "url_variables"]

# What these names mean when nobody says it.
_KNOWN = {"DATABASE_URL": "postgresql", "REDIS_URL": "redis", "CLICKHOUSE_URL": "clickhouse"}
_SERVICES = {
    "postgresql": "postgres",
    "postgres": "postgres",
    "redis": "redis",
    "rediss": "redis",
    "clickhouse": "clickhouse",
    "clickhouses": "clickhouse",
    "clickhousedb": "clickhouse",
}


@dataclass(frozen=True)
class Export:
    """A variable that shall hold a whole URL with ``scheme``, for example ``postgresql+asyncpg``."""

    name: str
    scheme: str

    @property
    def service(self) -> str:
        return _SERVICES[self.scheme.partition("+")[0]]


def parse_exports(words: Iterable[str]) -> tuple[Export, ...]:
    """``DATABASE_URL`` or ``NAME=scheme`` each.

    Raises:
        pytest.UsageError: one is neither.
    """
    return tuple(_parse(word) for word in words)


def _parse(word: str) -> Export:
    name, equals, scheme = word.partition("=")
    found = scheme if equals else _KNOWN.get(name, "")
    if not name.isidentifier() or found.partition("+")[0] not in _SERVICES:
        raise pytest.UsageError(
            f"the ini value real_services_env holds {word!r}, which is neither one of {', '.join(_KNOWN)}"
            " nor NAME=scheme, as in DATABASE_URL=postgresql+asyncpg"
        )
    return Export(name, found)


def url_variables(endpoints: Endpoints, exports: Iterable[Export]) -> dict[str, str]:
    """The URLs that were asked for, each with its own scheme."""
    urls = {
        "postgres": endpoints.postgres.dsn,
        "redis": endpoints.redis.url,
        "clickhouse": endpoints.clickhouse.url,
    }
    return {each.name: _with_scheme(urls[each.service], each) for each in exports}


def _with_scheme(url: str, wanted: Export) -> str:
    scheme, _, rest = url.partition("://")
    # With TLS the server's own scheme says so; only an explicit one may replace it.
    keeps = wanted.scheme in (scheme, scheme.removesuffix("s"))
    return url if keeps else f"{wanted.scheme}://{rest}"


def export(variables: Mapping[str, str], environ: MutableMapping[str, str]) -> None:
    """Set what is not set yet: what the user said always wins."""
    for name, value in variables.items():
        environ.setdefault(name, value)
