"""Levels: how much of the machine a run may use, as rows of values."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum, StrEnum
from typing import Any

import psutil

from test_framework.errors import SettingsError

__all__ = ["CONNECTIONS_PER_ENVIRONMENT", "Monitoring", "OptimizationLevel", "Policy", "choose_level", "policy_for"]

# The test's own connection, and the pool of the service that runs on its database.
CONNECTIONS_PER_ENVIRONMENT = 5
_GIB = 1024**3


class Monitoring(Enum):
    """How closely a run is watched."""

    LEASES = "leases"  # every acquisition
    MEMORY = "memory"  # and the memory of the process after every test


class OptimizationLevel(StrEnum):
    """How much may happen at once."""

    DEVELOPMENT = "development"
    CI_FAST = "ci_fast"
    CI_THOROUGH = "ci_thorough"
    PRODUCTION = "production"

    @property
    def policy(self) -> Policy:
        """The level's row."""
        return _ROWS[self]

    @classmethod
    def named(cls, text: str) -> OptimizationLevel:
        """The level called ``text``, in any spelling of case and dashes.

        Raises:
            ValueError: there is none.
        """
        return cls(text.strip().lower().replace("-", "_"))


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What a level comes to.

    Args:
        max_concurrent_tests: environments that exist at once; more wait for their turn.
        pool_max_connections: connections that all environments together may hold to PostgreSQL.
        warm_clones: ready databases that are kept ahead, at first.
        min_clones: the least that adaption goes down to.
        max_clones: the most that it goes up to.
        enable_resource_pooling: keep databases ahead and take untouched ones again; without it each is made when
            it is asked for.
        monitoring: what is measured.
    """

    max_concurrent_tests: int
    pool_max_connections: int
    warm_clones: int
    min_clones: int
    max_clones: int
    enable_resource_pooling: bool = True
    monitoring: Monitoring = Monitoring.LEASES

    @property
    def concurrency(self) -> int:
        """Environments at once that the tests and the connections allow."""
        return max(1, min(self.max_concurrent_tests, self.pool_max_connections // CONNECTIONS_PER_ENVIRONMENT))

    def for_workers(self, workers: int) -> Policy:
        """One worker's part. Each keeps two databases ahead at least, or every second test would wait."""
        if workers <= 1:
            return self

        def part(whole: int, least: int) -> int:
            return max(min(least, whole), -(-whole // workers))

        return replace(
            self,
            max_concurrent_tests=part(self.max_concurrent_tests, 1),
            pool_max_connections=part(self.pool_max_connections, CONNECTIONS_PER_ENVIRONMENT),
            warm_clones=part(self.warm_clones, 2),
            min_clones=part(self.min_clones, 1),
            max_clones=part(self.max_clones, 2),
        )

    def overridden(self, overrides: Mapping[str, Any]) -> Policy:
        """This row with other values.

        Args:
            overrides: ``max_concurrent_tests``, ``pool_max_connections`` and ``enable_resource_pooling``.

        Raises:
            SettingsError: a name or a value is impossible; the message has it.
        """
        for name, value in overrides.items():
            _check(name, value)
        return replace(self, **overrides)


_COUNTS = ("max_concurrent_tests", "pool_max_connections")
_OVERRIDES = (*_COUNTS, "enable_resource_pooling")

_ROWS: Mapping[OptimizationLevel, Policy] = {
    OptimizationLevel.DEVELOPMENT: Policy(
        max_concurrent_tests=5, pool_max_connections=30, warm_clones=4, min_clones=1, max_clones=6
    ),
    OptimizationLevel.CI_FAST: Policy(
        max_concurrent_tests=10, pool_max_connections=60, warm_clones=6, min_clones=2, max_clones=12
    ),
    OptimizationLevel.CI_THOROUGH: Policy(
        max_concurrent_tests=20,
        pool_max_connections=120,
        warm_clones=8,
        min_clones=3,
        max_clones=24,
        monitoring=Monitoring.MEMORY,
    ),
    OptimizationLevel.PRODUCTION: Policy(
        max_concurrent_tests=50,
        pool_max_connections=300,
        warm_clones=12,
        min_clones=5,
        max_clones=50,
        monitoring=Monitoring.MEMORY,
    ),
}


def _check(name: str, value: Any) -> None:
    if name not in _OVERRIDES:
        raise SettingsError(f"{name!r} cannot be overridden", fix=f"override one of {', '.join(_OVERRIDES)}")
    whole = isinstance(value, int) and not isinstance(value, bool) and value > 0
    if name in _COUNTS and not whole:
        raise SettingsError(f"{name} cannot be {value!r}", fix="give a whole number above zero")
    if name not in _COUNTS and not isinstance(value, bool):
        raise SettingsError(f"{name} cannot be {value!r}", fix="give True or False")


def policy_for(level: OptimizationLevel | str, overrides: Mapping[str, Any] | None = None) -> Policy:
    """The row of ``level`` with ``overrides``.

    Raises:
        SettingsError: there is no such level, or an override is impossible.
    """
    try:
        found = OptimizationLevel.named(level)
    except ValueError:
        names = ", ".join(each.name for each in OptimizationLevel)
        raise SettingsError(f"{level!r} is no level", fix=f"use one of {names}") from None
    return found.policy.overridden(overrides or {})


def choose_level(
    said: str | None = None, *, ci: bool = False, cores: int | None = None, memory: int | None = None
) -> OptimizationLevel:
    """The level that somebody named, else the one that suits the machine.

    Args:
        said: by hand or by ``TEST_LEVEL``.
        ci: this runs in continuous integration: nobody else works on the machine meanwhile.
        cores: processors that this process may use; ``None``: ask.
        memory: bytes of it; ``None``: ask.

    Raises:
        SettingsError: ``said`` is no level.
    """
    if said:
        policy_for(said)
        return OptimizationLevel.named(said)
    processors = cores or _processors()
    room = memory or psutil.virtual_memory().total
    if processors >= 16 and room >= 32 * _GIB:
        return OptimizationLevel.PRODUCTION
    if processors >= 8 and room >= 16 * _GIB:
        return OptimizationLevel.CI_THOROUGH
    return OptimizationLevel.CI_FAST if ci or processors >= 4 else OptimizationLevel.DEVELOPMENT


def _processors() -> int:
    """Those that we may use, which are fewer than the machine has inside of many containers."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        return os.cpu_count() or 1
