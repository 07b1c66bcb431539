"""The totals of a scan: one calculation for every output."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from test_framework.migration.model import Category, Complexity, FileReport, MockUse, TreeReport

__all__ = ["SERVICES", "Share", "Summary", "replaceable", "summarise"]

SERVICES = frozenset({Category.DATABASE, Category.REDIS, Category.CLICKHOUSE, Category.WEBSOCKET})


def replaceable(use: MockUse) -> bool:
    """Whether a real service can take this mock's place.

    HTTP is judged use by use: a mock of the team's own API can go, a mock of somebody else's API stays.
    """
    return use.rewritable or use.category in SERVICES


@dataclass(frozen=True, slots=True)
class Share:
    """One line of a table of totals."""

    name: str
    uses: int
    files: int
    replaceable: int
    rewritable: int


@dataclass(frozen=True, slots=True)
class Summary:
    """What the whole scan found. ``files`` counts the files that were read, with mocks or without."""

    files: int
    files_with_mocks: int
    unreadable: int
    tests: int
    lines: int
    uses: int
    replaceable: int
    rewritable: int
    categories: tuple[Share, ...]
    kinds: tuple[Share, ...]
    complexities: tuple[Share, ...]


def summarise(report: TreeReport) -> Summary:
    """The totals of ``report``; every table has its largest line first, complexities stand in their own order."""
    found = [file for file in report.files if file.uses]
    uses = [use for file in found for use in file.uses]
    complexities = _shares(found, lambda file, use: file.complexity.value)
    order = {complexity.value: place for place, complexity in enumerate(Complexity)}
    return Summary(
        files=len(report.files),
        files_with_mocks=len(found),
        unreadable=sum(1 for file in report.files if file.error),
        tests=sum(file.tests for file in report.files),
        lines=sum(file.lines for file in report.files),
        uses=len(uses),
        replaceable=sum(map(replaceable, uses)),
        rewritable=sum(use.rewritable for use in uses),
        categories=_largest_first(_shares(found, lambda file, use: use.category.value)),
        kinds=_largest_first(_shares(found, lambda file, use: use.kind)),
        complexities=tuple(sorted(complexities, key=lambda share: order[share.name])),
    )


def _shares(files: Iterable[FileReport], name_of: Callable[[FileReport, MockUse], str]) -> list[Share]:
    counts: dict[str, list[int]] = {}
    for file in files:
        seen: set[str] = set()
        for use in file.uses:
            name = name_of(file, use)
            line = counts.setdefault(name, [0, 0, 0, 0])
            line[0] += 1
            line[1] += name not in seen
            line[2] += replaceable(use)
            line[3] += use.rewritable
            seen.add(name)
    return [Share(name, *line) for name, line in counts.items()]


def _largest_first(shares: Iterable[Share]) -> tuple[Share, ...]:
    return tuple(sorted(shares, key=lambda share: (-share.uses, share.name)))
