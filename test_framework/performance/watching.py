"""A broker whose every acquisition is measured, and whose pools follow what is measured."""

from __future__ import annotations

import threading

from test_framework.endpoints import Endpoints
from test_framework.environment import Broker, Identity, IsolationOptions, Lease
from test_framework.isolation.names import DEFAULT_PREFIX
from test_framework.performance.adaptation import Adaptation
from test_framework.performance.levels import Policy
from test_framework.performance.metrics import Metrics

__all__ = ["isolation_options", "watched_broker"]


def isolation_options(policy: Policy, *, prefix: str | None = None) -> IsolationOptions:
    """What a level's row means for the engine."""
    pooling = policy.enable_resource_pooling
    return IsolationOptions(
        prefix=prefix or DEFAULT_PREFIX, pool_size=policy.warm_clones if pooling else 0, reuse_untouched=pooling
    )


class _Watch:
    """Told of every acquisition, in whichever thread."""

    def __init__(self, policy: Policy, metrics: Metrics) -> None:
        self._metrics = metrics
        # Redis deals numbers: there is nothing to make ahead.
        self._pools = {name: Adaptation(policy) for name in ("postgres", "clickhouse")}
        self._adapts = policy.enable_resource_pooling
        self._lock = threading.Lock()
        self.broker: Broker | None = None

    def __call__(self, service: str, seconds: float, outcome: Lease | BaseException) -> None:
        if isinstance(outcome, BaseException):
            self._metrics.failed(service, seconds, outcome)
            return
        self._metrics.acquired(service, seconds, hit=outcome.pool_hit)
        pool = self._pools.get(service)
        if pool is None or not self._adapts or self.broker is None:
            return
        with self._lock:
            size = pool.observe(hit=outcome.pool_hit)
        if size is not None:
            self.broker.resize(service, size)


def watched_broker(
    endpoints: Endpoints, identity: Identity, *, policy: Policy, metrics: Metrics, prefix: str | None = None
) -> Broker:
    """A broker as ``policy`` wants it, which tells ``metrics`` what it does.

    Args:
        policy: this worker's part of the row.
        prefix: what database names begin with; ``None``: the usual.
    """
    watch = _Watch(policy, metrics)
    watch.broker = Broker(endpoints, identity, options=isolation_options(policy, prefix=prefix), observer=watch)
    return watch.broker
