"""What was measured: acquisitions, environments, the memory after every test. Plain data that can be merged."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["Acquisition", "MemorySample", "Metrics", "ServiceSummary", "percentile"]

# A run longer than this is described by its first part.
_MOST = 200_000


@dataclass(frozen=True, kw_only=True)
class Acquisition:
    """One namespace that somebody asked for.

    Args:
        waited: seconds.
        hit: it was ready; nobody waited for its creation.
        failed: what went wrong instead, as the kind of error; else ``None``.
    """

    service: str
    waited: float
    hit: bool
    failed: str | None = None


@dataclass(frozen=True, kw_only=True)
class MemorySample:
    """What a process held after one test.

    Args:
        rss: bytes.
        worker: whose it is; only samples of one process form a line.
    """

    test: str
    worker: str
    rss: int
    fixtures: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ServiceSummary:
    """The acquisitions of one service; times in seconds."""

    service: str
    count: int
    hits: int
    failures: int
    median: float
    p95: float
    longest: float
    total: float

    @property
    def hit_ratio(self) -> float:
        """From 0 to 1; 1 when nothing was asked for."""
        return self.hits / self.count if self.count else 1.0


@dataclass
class Metrics:
    """A collection that grows; thread-safe where it is told something.

    Args:
        environments: seconds until each was ready.
    """

    acquisitions: list[Acquisition] = field(default_factory=list)
    environments: list[float] = field(default_factory=list)
    memory: list[MemorySample] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def acquired(self, service: str, waited: float, *, hit: bool) -> None:
        """Note a namespace that somebody got."""
        self._note(self.acquisitions, Acquisition(service=service, waited=waited, hit=hit))

    def failed(self, service: str, waited: float, error: BaseException) -> None:
        """Note one that nobody got."""
        kind = type(error).__name__
        self._note(self.acquisitions, Acquisition(service=service, waited=waited, hit=False, failed=kind))

    def ready(self, seconds: float) -> None:
        """Note an environment."""
        self._note(self.environments, seconds)

    def sampled(self, sample: MemorySample) -> None:
        """Note what a process held."""
        self._note(self.memory, sample)

    def _note(self, where: list[Any], what: Any) -> None:
        with self._lock:
            if len(where) < _MOST:
                where.append(what)

    def merge(self, other: Metrics) -> None:
        """Take over what another process measured."""
        for mine, theirs in (
            (self.acquisitions, other.acquisitions),
            (self.environments, other.environments),
            (self.memory, other.memory),
        ):
            for each in theirs:
                self._note(mine, each)

    def services(self) -> list[ServiceSummary]:
        """One summary for each service that was used, by name."""
        names = sorted({each.service for each in self.acquisitions})
        return [_summary(name, [each for each in self.acquisitions if each.service == name]) for name in names]

    @property
    def hit_ratio(self) -> float:
        """Over all services, from 0 to 1."""
        return sum(each.hit for each in self.acquisitions) / len(self.acquisitions) if self.acquisitions else 1.0

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON, and for the way from a worker to its controller."""
        return {
            "acquisitions": [asdict(each) for each in self.acquisitions],
            "environments": list(self.environments),
            "memory": [{**asdict(each), "fixtures": list(each.fixtures)} for each in self.memory],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Metrics:
        """The reverse of :meth:`as_dict`."""
        return cls(
            acquisitions=[Acquisition(**each) for each in values["acquisitions"]],
            environments=list(values["environments"]),
            memory=[MemorySample(**{**each, "fixtures": tuple(each["fixtures"])}) for each in values["memory"]],
        )


def _summary(service: str, found: Sequence[Acquisition]) -> ServiceSummary:
    waits = [each.waited for each in found]
    return ServiceSummary(
        service=service,
        count=len(found),
        hits=sum(each.hit for each in found),
        failures=sum(each.failed is not None for each in found),
        median=percentile(waits, 50),
        p95=percentile(waits, 95),
        longest=max(waits),
        total=sum(waits),
    )


def percentile(values: Iterable[float], percent: float) -> float:
    """The smallest value that ``percent`` of them do not exceed; 0 when there are none."""
    ordered = sorted(values)
    if not ordered:
        return 0.0
    return ordered[max(0, -(-len(ordered) * percent // 100).__int__() - 1)]
