"""The table for people."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from test_framework.migration.baseline import compare, record
from test_framework.migration.model import TreeReport
from test_framework.migration.reporting.table import show_scan
from test_framework.migration.reporting.text import printable
from tests.unit.migration.report.test_baseline import NOWHERE, at
from tests.unit.migration.report.trees import file, mocks, tree, use, varied


def shown(report: TreeReport, *, top: int = 20, width: int = 120, before: TreeReport | None = None) -> str:
    stream = io.StringIO()
    comparison = None if before is None else compare(report, record(before, folder=NOWHERE), folder=NOWHERE)
    show_scan(Console(file=stream, width=width, highlight=False), report, comparison, top=top)
    return stream.getvalue()


def cells(text: str, first: str) -> list[str]:
    """The cells of the row that begins with ``first``."""
    [row] = [line for line in text.splitlines() if re.match(rf"[│|]\s+{re.escape(first)}\s", line)]
    return [cell.strip() for cell in re.split(r"[│|]", row)[2:-1]]


def test_the_totals_are_those_of_the_tree() -> None:
    text = shown(varied())
    assert "7 files with 19 tests and 240 lines read: 16 mocks in 5 files." in text
    assert cells(text, "database") == ["6", "4", "6", "3"]
    assert cells(text, "time") == ["2", "2", "0", "0"]
    assert cells(text, "simple (1-3 mocks)") == ["5", "4", "4", "3"]
    assert cells(text, "complex (over 10)") == ["11", "1", "5", "0"]


def test_the_order_of_work_names_the_first_files_and_how_many_there_are() -> None:
    report = tree(*(mocks(f"tests/test_{number:02}.py", 1) for number in range(30)))
    text = shown(report, top=5)
    assert "(5 of 30; --top N shows more)" in text
    assert re.findall(r"tests/test_\d+", text) == [f"tests/test_{number:02}" for number in range(5)]
    assert "Order of work" not in shown(report, top=0)


def test_no_name_can_move_the_cursor_begin_a_line_or_pass_for_markup() -> None:
    text = shown(tree(mocks("tests/[bold]x\n::error::y\x1b[2J.py", 1)), width=200)
    assert "\x1b" not in text
    assert "tests/[bold]x\\n::error::y\\x1b[2J.py" in text
    assert not any(line.lstrip().startswith("::") for line in text.splitlines())


def test_a_narrow_terminal_cuts_no_path_short() -> None:
    path = "tests/" + "very_long_folder_name/" * 6 + "test_it.py"
    text = shown(tree(mocks(path, 1)), width=80)
    pieces = [re.split(r"[│|]", line)[2].strip() for line in text.splitlines() if re.match(r"[│|].*[│|]$", line)]
    assert path in "".join(pieces)


def test_kinds_beyond_the_first_are_summed_in_one_line() -> None:
    report = tree(file("a.py", *(use("a.py", n, kind=f"kind{n:02}") for n in range(1, 21))))
    text = shown(report)
    assert cells(text, "9 other kinds") == ["9", "", "9", "0"]


@pytest.mark.parametrize(("report", "words"), [(tree(), "no Python files found"), (tree(file("a.py")), "no mocks")])
def test_nothing_found_is_said_in_one_line(report: TreeReport, words: str) -> None:
    assert words in shown(report)
    assert len(shown(report).splitlines()) == 1


def test_files_that_could_not_be_read_are_named_with_the_reason() -> None:
    assert "1 file could not be read:\n  tests/test_broken.py: SyntaxError: <invalid> syntax (line 3)" in shown(
        varied()
    )


def test_new_mocks_are_listed_and_gone_ones_counted() -> None:
    now = at(NOWHERE, mocks("a.py", 2), mocks("b.py", 1))
    text = shown(now, before=at(NOWHERE, mocks("a.py", 3)))
    assert "baseline: 1 new, 1 gone" in text
    assert "  new  b.py:1: Mock of app.db.pool in test_it (database)" in text
    assert "baseline: unchanged" in shown(now, before=now)


def test_only_what_cannot_be_seen_is_escaped() -> None:
    assert printable("tests/größe_ü 数.py") == "tests/größe_ü 数.py"
    assert printable("a\u202eb\udce9\t") == "a\\u202eb\\udce9\\t"
