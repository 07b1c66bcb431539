"""How many databases are kept ready, adapted to how often a test had to wait for one."""

from __future__ import annotations

from test_framework.performance.levels import Policy

__all__ = ["Adaptation"]

# A test that waits is worse than a database that lies idle, so it grows quickly and shrinks slowly.
_WINDOW = 20
_MISSES = 2
_CALM = 200


class Adaptation:
    """One service's pool. Told of every acquisition, says what size the pool should have from now on."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._recent: list[bool] = []
        self._calm = 0
        self.target = policy.warm_clones

    def observe(self, *, hit: bool) -> int | None:
        """A new size, or ``None`` when the present one stays. Never leaves the policy's bounds."""
        self._recent = [*self._recent, hit][-_WINDOW:]
        self._calm = self._calm + 1 if hit else 0
        if self._recent.count(False) >= _MISSES:
            return self._become(min(self._policy.max_clones, self.target + max(1, self.target // 2)))
        if self._calm >= _CALM:
            return self._become(max(self._policy.min_clones, self.target - 1))
        return None

    def _become(self, size: int) -> int | None:
        self._recent, self._calm = [], 0
        if size == self.target:
            return None
        self.target = size
        return size
