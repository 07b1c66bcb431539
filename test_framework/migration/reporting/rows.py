"""The table of files in the HTML page: one row for each, which the page's script sorts, filters and unfolds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from test_framework.migration.model import Complexity, FileReport
from test_framework.migration.reporting.order import Task
from test_framework.migration.reporting.summary import replaceable
from test_framework.migration.reporting.text import printable

__all__ = ["HEADERS", "Header", "file_rows", "uses_of"]

STAYS = "stays"
RANKS = {complexity: rank for rank, complexity in enumerate(Complexity)}


@dataclass(frozen=True, slots=True)
class Header:
    """A column: its title, ``text`` or ``number``, and for the one that the page is sorted by its attribute."""

    title: str
    sort: str = "number"
    sorted: str = ""


HEADERS = (
    Header("File", "text"),
    Header("Order", sorted=' aria-sort="ascending"'),
    Header("How", "text"),
    Header("Gain"),
    Header("Mocks"),
    Header("By migrate"),
    Header("By hand"),
    Header("Stay"),
    Header("Tests"),
    Header("Complexity"),
    Header("Stands in for", "text"),
)


def file_rows(files: Sequence[FileReport], tasks: Sequence[Task]) -> Iterator[str]:
    """A row for each file, in the order of work; files where every mock stays come last, by path."""
    index = {file.path: place for place, file in enumerate(files)}
    by_path = {file.path: file for file in files}
    for place, task in enumerate(tasks, 1):
        yield _row(index[task.path], by_path.pop(task.path), task, place, shown=str(place))
    for place, file in enumerate(by_path.values(), len(tasks) + 1):
        yield _row(index[file.path], file, None, place, shown="-")


def _row(index: int, file: FileReport, task: Task | None, place: int, *, shown: str) -> str:
    step = task.step.value if task else STAYS
    by_hand = task.by_hand if task else 0
    uses = len(file.uses)
    names = [category.value for category, _ in file.categories.most_common()]
    cells = (
        _count(place, shown),
        _text(step),
        _count(task.gain if task else 0),
        _count(uses),
        _count(file.rewritable),
        _count(by_hand),
        _count(uses - sum(map(replaceable, file.uses))),
        _count(file.tests),
        f'<td data-value="{RANKS[file.complexity]}">{file.complexity.value}</td>',
        _text(", ".join(names)),
    )
    path = escape(printable(file.path))
    return (
        f'<tr data-index="{index}" data-complexity="{file.complexity.value}" data-step="{step}"'
        f' data-categories="{" ".join(names)}"><th scope="row" data-value="{path}">'
        f'<button type="button" aria-expanded="false">{path}</button></th>{"".join(cells)}</tr>\n'
    )


def _count(number: int, shown: str | None = None) -> str:
    return f'<td class="count" data-value="{number}">{shown or f"{number:,}"}</td>'


def _text(text: str) -> str:
    return f'<td data-value="{escape(text)}">{escape(text)}</td>'


def uses_of(file: FileReport) -> list[list[str | int]]:
    """What a row unfolds to: line, kind, target, category, evidence, scope and what becomes of each mock."""
    return [
        [
            use.line,
            *map(printable, (use.kind, use.target, use.category.value, use.evidence, use.scope)),
            "rewritten by migrate" if use.rewritable else "replaced by hand" if replaceable(use) else "stays",
        ]
        for use in file.uses
    ]
