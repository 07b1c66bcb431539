"""The markers, and what they mean."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from test_framework.plugin.options import ISOLATIONS

__all__ = ["Isolation", "add_markers", "isolation_of", "redis_is_guarded", "required_services", "requires_service"]

_REQUIRES = {
    "requires_postgres": "postgres",
    "requires_redis": "redis",
    "requires_clickhouse": "clickhouse",
}
# Those speak to a service that is made for the test, or that somebody else runs.
_OUTSIDE = {"requires_http": "the service over HTTP", "requires_websocket": "the service over WebSocket"}
_MARKERS = (
    *(
        f"{name}: the test needs {service}; skip or error as --real-services says."
        for name, service in (_REQUIRES | _OUTSIDE).items()
    ),
    'postgres_isolation(mode, savepoints=True): "transaction" or "database": how the test\'s PostgreSQL is its own.',
    "redis_unguarded: the test may send commands that reach beyond its own Redis database (FLUSHALL, CONFIG SET, ...).",
)


def add_markers(config: pytest.Config) -> None:
    """Declare all of them, so that ``--strict-markers`` passes."""
    for line in _MARKERS:
        config.addinivalue_line("markers", line)


def required_services(item: pytest.Item) -> list[str]:
    """The services that the item's ``requires_…`` markers name."""
    return [service for name, service in _REQUIRES.items() if item.get_closest_marker(name)]


def requires_service(item: pytest.Item) -> list[str]:
    """How the item's markers say that it speaks to the service: ``http``, ``websocket``."""
    return [name.removeprefix("requires_") for name in _OUTSIDE if item.get_closest_marker(name)]


@dataclass(frozen=True)
class Isolation:
    """What a test asked for. ``mode`` is ``None`` when it left the choice to its fixtures."""

    mode: str | None = None
    savepoints: bool | None = None


def isolation_of(item: pytest.Item) -> Isolation:
    """What the closest ``postgres_isolation`` marker says.

    Raises:
        pytest.UsageError: it has impossible arguments.
    """
    mark = item.get_closest_marker("postgres_isolation")
    if mark is None:
        return Isolation()
    try:
        found = Isolation(*mark.args, **mark.kwargs)
    except TypeError:
        found = Isolation("?")
    if found.mode not in (None, *ISOLATIONS) or found.savepoints not in (None, True, False):
        given = ", ".join([*map(repr, mark.args), *(f"{name}={value!r}" for name, value in mark.kwargs.items())])
        raise pytest.UsageError(
            f'{item.nodeid}: postgres_isolation({given}) is not understood; write postgres_isolation("transaction"),'
            ' postgres_isolation("database") or postgres_isolation("transaction", savepoints=False)'
        )
    return found


def redis_is_guarded(item: pytest.Item) -> bool:
    return item.get_closest_marker("redis_unguarded") is None
