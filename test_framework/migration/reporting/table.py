"""The scan for people at a terminal: totals, what is in the way, and where to begin."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from test_framework.migration.baseline import Comparison
from test_framework.migration.model import TreeReport
from test_framework.migration.reporting.order import FORMULA, Task, order_of_work
from test_framework.migration.reporting.summary import Share, Summary, summarise
from test_framework.migration.reporting.text import counted, printable

__all__ = ["show_scan"]

KINDS = 12
COMPLEXITIES = {"simple": "1-3 mocks", "moderate": "4-10 mocks", "complex": "over 10"}


def show_scan(
    console: Console, report: TreeReport, comparison: Comparison | None, *, top: int, kinds: int = 12
) -> None:
    """Print the scan, with the first ``top`` files of the order of work."""
    for part in _parts(report, comparison, top):
        console.print(part, soft_wrap=isinstance(part, Text))


def _parts(report: TreeReport, comparison: Comparison | None, top: int) -> Iterator[RenderableType]:
    total = summarise(report)
    yield Text(_headline(total), style="bold")
    if total.uses:
        yield Group(
            _shares("By category", "stands in for", total.categories),
            _shares("By kind", "kind", _folded(total.kinds, KINDS)),
            _shares("By complexity", "a file is", total.complexities, notes=COMPLEXITIES),
        )
    yield from _order(order_of_work(report), top)
    yield from (Text(line) for line in _unreadable(report))
    if comparison is not None:
        yield from (Text(line) for line in _ratchet(comparison))


def _headline(total: Summary) -> str:
    if not total.files:
        return "no Python files found, apart from what .gitignore or --exclude name"
    read = f"{counted(total.files, 'file')} with {counted(total.tests, 'test')} and {counted(total.lines, 'line')} read"
    if not total.uses:
        return f"{read}; no mocks"
    return (
        f"{read}: {counted(total.uses, 'mock')} in {counted(total.files_with_mocks, 'file')}."
        f' {total.replaceable:,} can be replaced by real services; for {total.rewritable:,} "migrate" has a rule'
    )


def _shares(title: str, first: str, shares: Iterable[Share], *, notes: dict[str, str] | None = None) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", header_style="")
    table.add_column(first, overflow="fold")
    for name in ("mocks", "files", "replaceable", "by migrate"):
        table.add_column(name, justify="right", no_wrap=True)
    for share in shares:
        note = f" ({notes[share.name]})" if notes and share.name in notes else ""
        files = f"{share.files:,}" if share.files else ""
        others = (f"{number:,}" for number in (share.replaceable, share.rewritable))
        table.add_row(Text(printable(share.name) + note), f"{share.uses:,}", files, *others)
    return table


def _folded(shares: tuple[Share, ...], limit: int) -> tuple[Share, ...]:
    """The largest shares, and the rest of the kinds in one line."""
    if len(shares) <= limit:
        return shares
    rest = shares[limit - 1 :]
    uses, replaceable, rewritable = (
        sum(getattr(share, name) for share in rest) for name in ("uses", "replaceable", "rewritable")
    )
    # A file may have several of them, so their numbers of files have no sum.
    others = Share(f"{len(rest)} other kinds", uses, 0, replaceable, rewritable)
    return (*shares[: limit - 1], others)


def _order(tasks: tuple[Task, ...], top: int) -> Iterator[RenderableType]:
    if not tasks or not top:
        return
    shown = tasks[:top]
    title = "Order of work, the cheapest gain first"
    if len(shown) < len(tasks):
        title += f" ({len(shown)} of {len(tasks):,}; --top N shows more)"
    table = Table(title=title, title_justify="left", title_style="bold", header_style="")
    table.add_column("", justify="right")
    table.add_column("file", overflow="fold")
    table.add_column("how")
    for name in ("gain", "by migrate", "by hand", "score"):
        table.add_column(name, justify="right", no_wrap=True)
    for place, task in enumerate(shown, 1):
        gain = f"{task.gain:,}" + (f" ({task.elsewhere:,} elsewhere)" if task.elsewhere else "")
        numbers = (f"{task.rewritable:,}", f"{task.by_hand:,}", f"{task.score:.2f}")
        table.add_row(str(place), Text(printable(task.path)), task.step.value, gain, *numbers)
    yield table
    yield Text(FORMULA, style="dim")


def _unreadable(report: TreeReport) -> Iterator[str]:
    failed = report.failed
    if failed:
        yield f"\n{counted(len(failed), 'file')} could not be read:"
    for file in failed:
        yield f"  {printable(file.path)}: {printable(file.error or '')}"


def _ratchet(comparison: Comparison) -> Iterator[str]:
    gone = comparison.gone.total() - comparison.moved
    new = len(comparison.new)
    if not new and not gone and not comparison.moved:
        yield "\nbaseline: unchanged"
        return
    moved = f", {comparison.moved:,} moved" if comparison.moved else ""
    yield f"\nbaseline: {new:,} new, {gone:,} gone{moved}"
    for use in comparison.new:
        target = f" of {use.target}" if use.target else ""
        scope = f" in {use.scope}" if use.scope else ""
        yield f"  new  {printable(f'{use.path}:{use.line}: {use.kind}{target}{scope} ({use.category.value})')}"
