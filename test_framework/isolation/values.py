"""Who owns what: plain data that crosses threads, processes and event loops."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from test_framework.endpoints import ClickHouseEndpoint, PostgresEndpoint, RedisEndpoint
from test_framework.isolation.names import DEFAULT_PREFIX

__all__ = [
    "Grant",
    "Holder",
    "Identity",
    "IsolationOptions",
    "Lease",
    "LeaseInfo",
    "LeasedEndpoint",
    "ReapReport",
]

LeasedEndpoint = PostgresEndpoint | RedisEndpoint | ClickHouseEndpoint


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Who asks for namespaces.

    Args:
        run_id: random, equal for all workers of one test run.
        worker_id: ``master``, or pytest-xdist's ``gw0``, ``gw1`` …
        workers: how many share the run; pools and connections are sized by it.
        counters: where :class:`~test_framework.isolation.counters.Counters` of this run are shared; empty: nowhere.
    """

    run_id: str
    worker_id: str = "master"
    workers: int = 1
    counters: str = ""

    def __str__(self) -> str:
        return f"{self.worker_id} of run {self.run_id[:8]}"


@dataclass(frozen=True, kw_only=True)
class IsolationOptions:
    """How namespaces are made and handed out.

    Args:
        prefix: what database names begin with.
        pool_size: ready databases that one worker keeps; ``None``: by the number of workers; 0: none.
        lease_timeout: seconds to wait for a namespace.
        connection_timeout: seconds to open one connection.
        statement_timeout: seconds for one administrative statement.
        redis_mode: ``database`` (a number each), ``prefix`` (keys of one database), or ``auto`` by the server's size.
        reuse_untouched: a database that was provably not written to goes back to the pool.
        reap_at_start: reclaim, in the background, what dead sessions left behind.
    """

    prefix: str = DEFAULT_PREFIX
    pool_size: int | None = None
    lease_timeout: float = 60.0
    connection_timeout: float = 10.0
    statement_timeout: float = 30.0
    redis_mode: str = "auto"
    reuse_untouched: bool = True
    reap_at_start: bool = True

    def pool_target(self, workers: int) -> int:
        """Ready databases that a worker keeps, so that many workers do not fill the server's memory."""
        return self.pool_size if self.pool_size is not None else max(2, min(4, 8 // max(1, workers)))


@dataclass(frozen=True, kw_only=True)
class Grant:
    """What an allocator gave away.

    Args:
        key_prefix: where keys are shared with others, what the owner's keys begin with.
        pool_hit: it was ready; nobody waited for its creation.
    """

    name: str
    endpoint: LeasedEndpoint
    key_prefix: str | None = None
    pool_hit: bool = False


@dataclass(frozen=True, kw_only=True)
class Lease:
    """A namespace that one test owns, until it is released.

    Args:
        service: ``postgres``, ``redis`` or ``clickhouse``.
        name: of the database; for Redis its number.
        endpoint: how to connect to it, with any driver.
        key_prefix: for Redis in prefix mode, what every key must begin with; else ``None``.
        acquired_at: seconds since the epoch.
        waited_seconds: from asking to having it.
        pool_hit: it was ready; nobody waited for its creation.
        serial: tells leases of one broker apart, since Redis numbers come again.
    """

    service: str
    name: str
    endpoint: LeasedEndpoint
    key_prefix: str | None = None
    acquired_at: float
    waited_seconds: float
    pool_hit: bool
    serial: int


@dataclass(frozen=True, kw_only=True)
class LeaseInfo:
    """One line of what a worker owns or owned.

    Args:
        released_at: seconds since the epoch; ``None`` while it is held.
        kept: it outlives the run.
    """

    service: str
    name: str
    worker_id: str
    run_id: str
    acquired_at: float
    released_at: float | None = None
    kept: bool = False


@dataclass(frozen=True, kw_only=True)
class Holder:
    """Somebody who holds namespaces or connections, for messages."""

    description: str
    count: int

    def __str__(self) -> str:
        return f"{self.description}: {self.count}"


@dataclass(frozen=True, kw_only=True)
class ReapReport:
    """What was reclaimed.

    Args:
        sessions: dead sessions that are settled now.
        reclaimed: namespaces by service that they had left.
        outdated: ready databases of templates that nobody uses any more.
        kept: namespaces that a user asked to keep, dropped because that was asked for.
        failures: what could not be reclaimed, and why; the next reaper tries again.
    """

    sessions: int = 0
    reclaimed: Mapping[str, int] = field(default_factory=dict)
    outdated: int = 0
    kept: int = 0
    failures: tuple[str, ...] = ()

    @property
    def total(self) -> int:
        """Namespaces that are gone now."""
        return sum(self.reclaimed.values()) + self.outdated + self.kept
