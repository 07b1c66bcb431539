"""Laws for any file."""

from __future__ import annotations

import ast
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from test_framework.migration.analysis import analyse
from test_framework.migration.facts import from_json, to_json
from test_framework.migration.scanner import scan_source

LABELLED = Path(__file__).resolve().parents[2] / "data" / "migration" / "labelled"
SOURCES = [file.read_text("utf-8") for file in sorted(LABELLED.rglob("*.py")) if file.parent.name != "broken"]
few = settings(max_examples=60, deadline=None)
sources = st.sampled_from(SOURCES)


@few
@given(st.binary(max_size=400))
def test_any_bytes_make_a_report(data: bytes) -> None:
    report = scan_source(data)
    assert report.error is None or report.uses == ()


@few
@given(sources, st.data())
def test_a_file_with_a_piece_cut_out_makes_a_report(source: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(source)))
    end = data.draw(st.integers(start, len(source)))
    report = scan_source(source[:start] + source[end:])
    assert report.error is None or report.uses == ()


@few
@given(sources, st.integers(1, 30))
def test_empty_lines_above_move_every_use_down_and_change_nothing_else(source: str, count: int) -> None:
    before, after = scan_source(source).uses, scan_source("\n" * count + source).uses
    assert [(use.line + count, use.column, use.kind, use.category) for use in before] == [
        (use.line, use.column, use.kind, use.category) for use in after
    ]


@few
@given(sources)
def test_comments_and_formatting_do_not_matter(source: str) -> None:
    before, after = scan_source(source).uses, scan_source(ast.unparse(ast.parse(source))).uses
    assert sorted((use.kind, use.form, use.target, use.category) for use in before) == sorted(
        (use.kind, use.form, use.target, use.category) for use in after
    )


@few
@given(sources)
def test_a_use_stands_where_its_line_and_column_say(source: str) -> None:
    lines = source.split("\n")
    for use in scan_source(source).uses:
        assert 1 <= use.line <= use.end_line <= len(lines)
        rest = lines[use.line - 1][use.column :]
        assert rest
        assert not rest[0].isspace()


@few
@given(sources)
def test_facts_come_back_from_the_cache_as_they_went_in(source: str) -> None:
    facts = analyse(source.encode(), is_test=True)
    assert from_json(to_json(facts)) == facts


@few
@given(sources)
def test_a_file_without_the_import_of_mocks_has_no_call_of_them(source: str) -> None:
    shadowed = "Mock = MagicMock = AsyncMock = patch = mock = dict\n"
    uses = scan_source(shadowed + "\n".join(line for line in source.split("\n") if "import" not in line)).uses
    assert not [use for use in uses if use.kind in ("Mock", "MagicMock", "AsyncMock", "patch", "patch.object")]
