"""The work of ``migrate``: what the rewriter says, shown as a diff or written to the files."""

from __future__ import annotations

import difflib
import json
import os
import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from test_framework.cli.scanning import Interruption, Progress, ScanOptions, progress_bar, read_tree, readers_may_leave
from test_framework.errors import SettingsError
from test_framework.migration.model import FileReport, TreeReport
from test_framework.migration.processes import KILLED, worked
from test_framework.migration.reporting.text import counted, printable
from test_framework.migration.versioned import uncommitted
from test_framework.migration.writing import Source, read_source, replace_all

if TYPE_CHECKING:
    from test_framework.migration.rewriter import Rewrite

__all__ = ["MigrateRequest", "read_or_refuse", "run_migrate"]

SCHEMA_VERSION = 1
COLOURS = {"+": "green", "-": "red", "@": "cyan"}
NAMED = 10
ALONE = 24
"""Up to this many files are rewritten sooner than another process is started."""
PART = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrateRequest(ScanOptions):
    """Everything that the command was told."""

    diff: bool = False
    write: bool = False
    force: bool = False
    as_json: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one file that holds mocks."""

    path: str
    source: Source
    rewrite: Rewrite


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """The sums of all files. ``untouched`` counts mocks, ``rewritten`` and ``marked`` count tests."""

    files: int
    changed: int
    complete: int
    rewritten: int
    marked: int
    untouched: int


def run_migrate(request: MigrateRequest) -> None:
    """Rewrite the files below the paths, or show how."""
    report = read_tree(request)
    outcomes = _rewritten(report, request.jobs)
    changed = [outcome for outcome in outcomes if outcome.rewrite.changed]
    if request.write:
        _write(changed, force=request.force)
    with readers_may_leave():
        if request.as_json:
            click.echo(json.dumps(_as_dict(report, outcomes, written=request.write), indent=1))
            return
        if request.diff or not request.write:
            for outcome in changed:
                _show_diff(_diff(outcome))
    # What reads the diff must not meet the summary in it.
    for line in _summary(report, outcomes, written=request.write):
        click.echo(line, err=request.diff or not request.write)


def _rewritten(report: TreeReport, jobs: int | None) -> list[Outcome]:
    outcomes: list[Outcome] = []
    with progress_bar("rewriting") as progress, Interruption() as interruption:
        report_progress = interruption.watched(progress)
        with closing(_in_processes(report, jobs or os.cpu_count() or 1)) as done:
            for outcome in done:
                outcomes.append(outcome)
                report_progress(len(outcomes), len(report.with_mocks))
    return sorted(outcomes, key=lambda outcome: outcome.path)


def _in_processes(report: TreeReport, jobs: int) -> Generator[Outcome, None, None]:
    files = report.with_mocks
    if jobs == 1 or len(files) <= ALONE:
        yield from (_rewrite(report.root, file) for file in files)
        return
    parts = [files[start : start + PART] for start in range(0, len(files), PART)]
    with closing(worked(partial(_rewrite_all, report.root), parts, jobs)) as answers:
        for part, answer in answers:
            yield from answer if answer is not None else (_unrewritten(report.root, file) for file in part)


def _rewrite_all(root: str, files: Sequence[FileReport]) -> list[Outcome]:
    return [_rewrite(root, file) for file in files]


def _unrewritten(root: str, file: FileReport) -> Outcome:
    """What becomes of a file whose process was killed: nothing, and it is said."""
    from test_framework.migration.rewriter import Rewrite

    source = read_or_refuse(Path(root) / file.path)
    return Outcome(file.path, source, Rewrite(source.text, notes=(f"left as it is: {KILLED}",)))


def _rewrite(root: str, file: FileReport) -> Outcome:
    from test_framework.migration.rewriter import Context, rewrite_file

    source = read_or_refuse(Path(root) / file.path)
    return Outcome(file.path, source, _fitting(source, rewrite_file(source.text, file, Context.of(source.path))))


def read_or_refuse(path: Path) -> Source:
    """The file's text. Raises SettingsError when it cannot be read."""
    try:
        return read_source(path)
    except (OSError, SyntaxError, UnicodeError) as error:
        raise SettingsError(f"{printable(str(path))} cannot be read", cause=str(error)) from error


def _fitting(source: Source, rewrite: Rewrite) -> Rewrite:
    """The rewrite, or none if the file's encoding lacks a character of it."""
    from test_framework.migration.rewriter import Rewrite

    try:
        source.encoded(rewrite.text)
    except UnicodeEncodeError as error:
        return Rewrite(source.text, notes=(f"the file's encoding lacks a character of the new text: {error}",))
    return rewrite


def _write(changed: Sequence[Outcome], *, force: bool) -> None:
    if not force and (mixed := uncommitted(outcome.source.path for outcome in changed)):
        names = [printable(os.path.relpath(path)) for path in mixed]
        raise SettingsError(
            f"nothing was written: {counted(len(mixed), 'file')} to rewrite would mix with changes of yours",
            where=", ".join(names[:NAMED]) + (f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""),
            cause="they are not committed, so git could not give them back",
            fix="commit or stash them, or write over them with --force",
        )
    with Interruption() as interruption:
        replace_all(_until_interrupted(changed, interruption.watched(None)))


def _until_interrupted(changed: Sequence[Outcome], look: Progress) -> Iterator[tuple[Source, str]]:
    """What is to be written, one after the other; an interruption ends it where the writer can still take all back."""
    for done, outcome in enumerate(changed):
        look(done, len(changed))
        yield outcome.source, outcome.rewrite.text
    look(len(changed), len(changed))


def _diff(outcome: Outcome) -> str:
    name = printable(outcome.path)
    old, new = _lines(outcome.source.text), _lines(outcome.rewrite.text)
    lines = difflib.unified_diff(old, new, f"a/{name}", f"b/{name}")
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def _lines(text: str) -> list[str]:
    """Lines as diffs and patches count them: a form feed or a lone carriage return ends none."""
    *lines, last = text.split("\n")
    return [f"{line}\n" for line in lines] + ([last] if last else [])


def _show_diff(text: str) -> None:
    if not sys.stdout.isatty():
        click.echo(text, nl=False)
        return
    for line in text.split("\n")[:-1]:
        heading = line.startswith(("+++ ", "--- "))
        shown = "\t".join(printable(part) for part in line.removesuffix("\r").split("\t"))
        click.echo(click.style(shown, fg=None if heading else COLOURS.get(line[:1]), bold=heading or None))


def _totals(report: TreeReport, outcomes: Sequence[Outcome]) -> Totals:
    rewrites = [outcome.rewrite for outcome in outcomes]
    return Totals(
        files=len(report.files),
        changed=sum(each.changed for each in rewrites),
        complete=sum(each.complete for each in rewrites),
        rewritten=sum(each.rewritten for each in rewrites),
        marked=sum(each.marked for each in rewrites),
        untouched=sum(each.untouched for each in rewrites),
    )


def _summary(report: TreeReport, outcomes: Sequence[Outcome], *, written: bool) -> Iterator[str]:
    total = _totals(report, outcomes)
    verb = "written" if written else "to write"
    complete = f"{total.complete:,} of them without a mock of ours left"
    yield f"{counted(total.changed, 'file')} {verb} of {total.files:,} read, {complete}"
    kinds = sorted({kind for outcome in outcomes for kind in outcome.rewrite.left_alone})
    yield (
        f"{counted(total.rewritten, 'test')} rewritten, {total.marked:,} marked for a person;"
        f" {counted(total.untouched, 'mock')} left alone that stand in for what is not ours"
        + (f" ({', '.join(kinds)})" if kinds else "")
    )
    for outcome in outcomes:
        for note in outcome.rewrite.notes:
            yield f"  {printable(f'{outcome.path}: {note}')}"
    for file in report.failed:
        yield f"  {printable(f'{file.path}: {file.error}')}"
    if total.changed and not written:
        yield "nothing was written; --write does it"


def _as_dict(report: TreeReport, outcomes: Sequence[Outcome], *, written: bool) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
        "root": report.root,
        "written": written,
        "summary": asdict(_totals(report, outcomes)),
        "files": [_file(outcome) for outcome in outcomes],
        "unreadable": [{"path": file.path, "error": file.error} for file in report.failed],
    }


def _file(outcome: Outcome) -> dict[str, Any]:
    rewrite = outcome.rewrite
    return {
        "path": outcome.path,
        "changed": rewrite.changed,
        "complete": rewrite.complete,
        "rewritten": rewrite.rewritten,
        "marked": rewrite.marked,
        "untouched": rewrite.untouched,
        "left_alone": list(rewrite.left_alone),
        "notes": list(rewrite.notes),
        "diff": _diff(outcome) if rewrite.changed else "",
    }
