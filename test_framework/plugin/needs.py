"""Which services a test needs, as far as its fixtures and markers tell before it runs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from test_framework.plugin.markers import required_services
from test_framework.plugin.run import run_of
from test_framework.plugin.service import SERVICE_FIXTURES, is_elsewhere

__all__ = ["needed_services"]

# Those that lead to a service by themselves; all others ask for one of them.
_FIXTURES = {
    "isolated_external_postgres": "postgres",
    "real_postgres": "postgres",
    "test_user": "postgres",
    "isolated_external_redis": "redis",
    "real_redis": "redis",
    "clickhouse_url": "clickhouse",
    "real_clickhouse": "clickhouse",
}


def needed_services(item: pytest.Item) -> Iterator[str]:
    """Names, some of them more than once."""
    yield from required_services(item)
    for name in getattr(item, "fixturenames", ()):
        if name in _FIXTURES:
            yield _FIXTURES[name]
        elif name in SERVICE_FIXTURES and not is_elsewhere(name, run_of(item.config).settings):
            yield from run_of(item.config).options.app_services
