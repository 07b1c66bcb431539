"""The work of ``scan``: read the tree, hold it against the baseline, put it out in every form that was asked for."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import click
from rich import progress as bars
from rich.console import Console

from test_framework.cli.console import is_interactive
from test_framework.migration import baseline
from test_framework.migration.baseline import Comparison
from test_framework.migration.model import Category, TreeReport
from test_framework.migration.reporting.text import counted
from test_framework.migration.writing import replace_file

__all__ = [
    "Interruption",
    "Progress",
    "Ratchet",
    "ScanOptions",
    "ScanRequest",
    "progress_bar",
    "read_tree",
    "readers_may_leave",
    "run_scan",
]

Progress = Callable[[int, int], None]
STDOUT = "-"
PIPE_WIDTH = 120


@dataclass(frozen=True, slots=True)
class Ratchet:
    """The baseline, and what is to become of it."""

    file: Path | None
    update: bool = False
    accept: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanOptions:
    """What is read and how."""

    paths: tuple[Path, ...]
    exclude: tuple[str, ...] = ()
    jobs: int | None = None
    no_cache: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanRequest(ScanOptions):
    """Everything that the command was told. A file called ``-`` is standard output."""

    ratchet: Ratchet
    json_file: str | None = None
    html_file: str | None = None
    sarif_file: str | None = None
    github: bool = False
    categories: tuple[Category, ...] = tuple(Category)
    fail_over: int | None = None
    top: int = 20


def run_scan(request: ScanRequest) -> bool:
    """Do it; returns whether no limit was passed."""
    to_stdout = [file for file in (request.json_file, request.html_file, request.sarif_file) if file == STDOUT]
    if len(to_stdout) + (request.github and bool(to_stdout)) > 1:
        raise click.UsageError("only one of --json, --html, --sarif and --github can go to standard output")
    recorded = _recorded(request.ratchet)
    everything = read_tree(request)
    report = everything.limited(request.categories)
    folder = request.ratchet.file.absolute().parent if request.ratchet.file else Path()
    comparison = None
    if recorded is not None:
        comparison = baseline.compare(everything, recorded, folder=folder, categories=request.categories)
    with readers_may_leave():
        _put_out(request, report, comparison, table=not to_stdout)
    _update(request.ratchet, report, comparison, folder)
    return _within_limits(request, report, comparison)


def read_tree(options: ScanOptions) -> TreeReport:
    """Scan, with a progress bar on a terminal. SIGTERM and a closed terminal interrupt it as Ctrl-C does."""
    from test_framework.migration.scanner import default_cache, scan

    # Names are relative to where the user is, as they were typed.
    here = Path.cwd()
    root = here if all(path.absolute().is_relative_to(here) for path in options.paths) else None
    with progress_bar("scanning") as progress, Interruption() as interruption:
        return scan(
            options.paths,
            root=root,
            exclude=options.exclude,
            cache=None if options.no_cache else default_cache(),
            jobs=options.jobs,
            progress=interruption.watched(progress),
        )


def _recorded(ratchet: Ratchet) -> baseline.Recorded | None:
    """What the baseline holds; None when there is none, or when it is to be created."""
    if ratchet.file is None or (ratchet.update and not ratchet.file.exists()):
        return None
    return baseline.load(ratchet.file)


def _put_out(request: ScanRequest, report: TreeReport, comparison: Comparison | None, *, table: bool) -> None:
    from test_framework.migration.reporting.github import annotation_lines
    from test_framework.migration.reporting.json_report import json_report
    from test_framework.migration.reporting.page import page
    from test_framework.migration.reporting.sarif import sarif
    from test_framework.migration.reporting.table import show_scan

    prefix = _checkout_prefix(Path(report.root))
    if request.json_file:
        _write(request.json_file, json.dumps(json_report(report, comparison), indent=1) + "\n")
    if request.sarif_file:
        _write(request.sarif_file, json.dumps(sarif(report, comparison, prefix=prefix), indent=1) + "\n")
    if request.html_file:
        _write(request.html_file, page(report))
    if table:
        console = output_console()
        with console.capture() as shown:
            show_scan(console, report, comparison, top=request.top)
        click.echo(shown.get(), nl=False, color=True)
    if request.github:
        uses = report.uses if comparison is None else comparison.new
        for line in annotation_lines(uses, prefix=prefix, new=comparison is not None):
            click.echo(line)


def _write(file: str, text: str) -> None:
    if file == STDOUT:
        click.echo(text, nl=False)
    else:
        replace_file(Path(file), text.encode())


def _update(ratchet: Ratchet, report: TreeReport, comparison: Comparison | None, folder: Path) -> None:
    if ratchet.file is None:
        return
    if not ratchet.update:
        gone = comparison.gone.total() - comparison.moved if comparison else 0
        if gone:
            click.echo(
                f"{counted(gone, 'recorded mock')} gone: tighten {ratchet.file} with --update-baseline", err=True
            )
        return
    if comparison is None:
        becomes = baseline.record(report, folder=folder)
    else:
        becomes = comparison.accepted if ratchet.accept else comparison.tightened
    changed = baseline.save(ratchet.file, becomes)
    words = f"records {counted(becomes.total(), 'mock')}" if changed else "is up to date"
    click.echo(f"{ratchet.file} {words}", err=True)


def _within_limits(request: ScanRequest, report: TreeReport, comparison: Comparison | None) -> bool:
    passed = True
    uses = len(report.uses)
    if request.fail_over is not None and uses > request.fail_over:
        click.echo(f"error: {counted(uses, 'mock')}; --fail-over allows {request.fail_over:,}", err=True)
        passed = False
    if comparison and comparison.new and not request.ratchet.accept:
        new = counted(len(comparison.new), "new mock")
        click.echo(f"error: {new} not in {request.ratchet.file}", err=True)
        passed = False
    return passed


def output_console() -> Console:
    """Standard output for tables: as wide as the terminal, and wide enough for paths in a pipe."""
    terminal = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(file=sys.stdout, width=None if terminal else PIPE_WIDTH, highlight=False, markup=False, emoji=False)


@contextmanager
def readers_may_leave() -> Iterator[None]:
    """When the reader of standard output has seen enough (``| head``), printing stops; the verdict stays what it is."""
    try:
        yield
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python would complain once more at its exit


def _checkout_prefix(root: Path) -> str:
    """What stands before the report's paths seen from the root of the checkout, or from here outside of one."""
    absolute = Path(os.path.realpath(root))
    checkout = next((folder for folder in (absolute, *absolute.parents) if (folder / ".git").exists()), Path.cwd())
    relative = os.path.relpath(absolute, checkout)
    return "" if relative == os.curdir else Path(relative).as_posix() + "/"


@contextmanager
def progress_bar(words: str) -> Iterator[Progress | None]:
    """What to call with (done, all) while working; None where nobody looks on."""
    if not is_interactive(sys.stderr):
        yield None
        return
    columns = (bars.TextColumn("{task.description}"), bars.BarColumn(), bars.MofNCompleteColumn())
    with bars.Progress(*columns, bars.TimeRemainingColumn(), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(words, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


class Interruption:
    """Ctrl-C and its like wait for a moment when processes can be ended in order; pressed again, they do not wait."""

    SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self) -> None:
        self._came = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        for number in self.SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup, or a shell's background job
                self._before[number] = signal.signal(number, self._come)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        # Ctrl-C goes to child processes as well: what then looks like their failure is an interruption.
        if self._came and kind is not KeyboardInterrupt:
            raise KeyboardInterrupt

    def _come(self, *_: object) -> None:
        if self._came:
            raise KeyboardInterrupt
        self._came = True

    def watched(self, progress: Progress | None) -> Progress:
        """``progress`` that ends the work when an interruption came."""

        def report(done: int, total: int) -> None:
            if self._came:
                raise KeyboardInterrupt
            if progress:
                progress(done, total)

        return report
