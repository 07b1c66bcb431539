"""Where a test run lends what it has to environments that are made by import. Imports nothing that takes time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from test_framework.environments.building import Tools
    from test_framework.performance.levels import Policy
    from test_framework.performance.metrics import Metrics

__all__ = ["Offer", "lend", "lent"]


@dataclass(frozen=True, kw_only=True)
class Offer:
    """What a run has: each is asked for when it is needed."""

    tools: Callable[[], Tools]
    policy: Callable[[], Policy]
    metrics: Callable[[], Metrics]


_offers: list[Offer] = []


def lend(offer: Offer) -> Callable[[], None]:
    """Let environments be made of what ``offer`` has, until the returned function is called."""
    _offers.append(offer)

    def end() -> None:
        if offer in _offers:
            _offers.remove(offer)

    return end


def lent() -> Offer | None:
    """The last offer, if there is any."""
    return _offers[-1] if _offers else None
