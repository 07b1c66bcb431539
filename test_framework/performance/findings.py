"""What the figures mean: bottlenecks and leaks, each with one line of advice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from test_framework.performance.metrics import MemorySample, Metrics, ServiceSummary, percentile

__all__ = ["Finding", "bottlenecks", "findings", "leaks"]

# The promise of docs/performance.md: this share of tests finds its databases ready.
HIT_RATIO = 0.95
# An environment should be ready within this, nineteen times of twenty; seconds.
READY = 0.150
# Fewer tests than this say nothing.
ENOUGH = 20
# A process that grows by less than this a test is not worth a line; bytes.
GROWTH = 32 * 1024
_MIB = 1024 * 1024
# The first tests import and compile; what they leave is no leak.
_WARM_UP = 5


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that is worth a look.

    Args:
        kind: ``misses``, ``waiting``, ``failures``, ``environments`` or ``leak``.
        subject: the service or fixture.
    """

    kind: str
    subject: str
    text: str
    advice: str

    def __str__(self) -> str:
        return f"{self.text}: {self.advice}"


def findings(metrics: Metrics) -> list[Finding]:
    """Everything, the worst first."""
    return [*leaks(metrics.memory), *bottlenecks(metrics)]


def bottlenecks(metrics: Metrics) -> list[Finding]:
    """Where tests wait for the framework."""
    found = [finding for summary in metrics.services() for finding in _service(summary)]
    slow = percentile(metrics.environments, 95)
    if len(metrics.environments) >= ENOUGH and slow > READY:
        found.append(
            Finding(
                kind="environments",
                subject="environments",
                text=f"one environment in twenty took more than {slow * 1000:.0f} ms to be ready",
                advice="create fewer at once (max_concurrent_tests), or give the servers more processors",
            )
        )
    return found


def _service(summary: ServiceSummary) -> list[Finding]:
    found = []
    name = summary.service
    if summary.failures:
        found.append(
            Finding(
                kind="failures",
                subject=name,
                text=f"{summary.failures} of {summary.count} {name} namespaces could not be had",
                advice="look at the servers (make test-status), run fewer workers or raise --lease-timeout",
            )
        )
    if summary.count >= ENOUGH and summary.hit_ratio < HIT_RATIO:
        found.append(
            Finding(
                kind="misses",
                subject=name,
                text=f"only {summary.hit_ratio:.0%} of {summary.count} {name} namespaces were ready when asked for",
                advice="choose a higher level (TEST_LEVEL), or isolate by transaction where that is enough"
                if name == "postgres"
                else "choose a higher level (TEST_LEVEL), or run fewer workers",
            )
        )
    if summary.count >= ENOUGH and summary.p95 > READY:
        found.append(
            Finding(
                kind="waiting",
                subject=name,
                text=f"one {name} namespace in twenty was waited for more than {summary.p95 * 1000:.0f} ms"
                f" ({summary.total:.1f} s in all)",
                advice="the server makes them slower than the tests use them: run fewer workers, or seed less",
            )
        )
    return found


@dataclass(frozen=True)
class _Step:
    """How much one test made its process grow."""

    growth: int
    fixtures: frozenset[str]
    order: tuple[str, ...]


def leaks(samples: Sequence[MemorySample]) -> list[Finding]:
    """Fixtures whose tests make the process grow, test after test, while others do not."""
    steps = _steps(samples)
    found: list[Finding] = []
    while (worst := _worst(steps)) is not None:
        name, slope, count = worst
        found.append(
            Finding(
                kind="leak",
                subject=name,
                text=f"each of {count} tests with the fixture {name} left {slope / 1024:.0f} KiB behind"
                f" ({slope * count / _MIB:.1f} MiB in all)",
                advice=f"see what {name} keeps after its test: a list, a cache, a client that is not closed",
            )
        )
        steps = [step for step in steps if name not in step.fixtures]  # what they share is explained by this one
    return found


def _steps(samples: Sequence[MemorySample]) -> list[_Step]:
    before: dict[str, list[int]] = {}
    steps = []
    for sample in samples:
        seen = before.setdefault(sample.worker, [])
        if len(seen) >= _WARM_UP:
            steps.append(_Step(sample.rss - seen[-1], frozenset(sample.fixtures), sample.fixtures))
        seen.append(sample.rss)
    return steps


def _worst(steps: Sequence[_Step]) -> tuple[str, float, int] | None:
    """The fixture that explains most growth: its tests grow steadily, and faster than those without it."""
    best: tuple[float, int, int, str] | None = None
    for name in sorted({name for step in steps for name in step.fixtures}):
        with_it = [step for step in steps if name in step.fixtures]
        if len(with_it) < ENOUGH or not _steady([step.growth for step in with_it]):
            continue
        slope = _mean([step.growth for step in with_it])
        others = _mean([step.growth for step in steps if name not in step.fixtures])
        if slope < GROWTH or slope < 4 * max(0.0, others):
            continue
        place = min(step.order.index(name) for step in with_it)  # what the test itself names stands first
        candidate = (-slope, len(with_it), place, name)
        best = candidate if best is None or candidate < best else best
    return None if best is None else (best[3], -best[0], best[1])


def _mean(values: Sequence[int]) -> float:
    return sum(values) / len(values) if values else 0.0


def _steady(growths: Sequence[int]) -> bool:
    """Every quarter of the tests grew, and none did most of it: one big cache that fills once is no leak.

    Memory comes in chunks, so a single test may well grow by nothing.
    """
    size = len(growths) // 4
    quarters = [sum(growths[n * size : (n + 1) * size]) for n in range(4)]
    return min(quarters) > 0 and max(quarters) < 0.6 * sum(quarters)
