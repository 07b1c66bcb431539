"""Reading text, CSV and JSON out of fixture files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from test_framework.errors import SeedError
from test_framework.services.base import FixtureFile
from test_framework.services.sources import csv_header, csv_line_of, csv_lines, json_rows, table_of, text_of


def file(name: str, content: str | bytes) -> FixtureFile:
    data = content.encode() if isinstance(content, str) else content
    return FixtureFile(Path(name), data, "", name)


def test_a_byte_order_mark_is_no_part_of_the_text() -> None:
    assert text_of(file("a.sql", b"\xef\xbb\xbfSELECT 1")) == "SELECT 1"


@pytest.mark.parametrize(
    ("content", "line", "what"),
    [
        (b"ok\nna\xefve\n", 2, "not UTF-8"),
        ("\ufeffutf-16".encode("utf-16"), 1, "not UTF-8"),
        (b"a\nb\n\0", 3, "NUL"),
    ],
)
def test_text_that_no_server_takes_is_named_with_its_line(content: bytes, line: int, what: str) -> None:
    with pytest.raises(SeedError) as caught:
        text_of(file("a.sql", content))
    assert (caught.value.line, what in caught.value.what) == (line, True)


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("20_backend.agents.csv", "backend.agents"),
        ("agents.csv", "agents"),
        ("01-Mixed Case.json", "Mixed Case"),
        ('10_x"; DROP TABLE y; --.csv', 'x"; DROP TABLE y; --'),
    ],
)
def test_the_table_is_the_files_name_without_its_number(name: str, table: str) -> None:
    assert table_of(file(name, "")) == table


@pytest.mark.parametrize(
    ("content", "line", "what"),
    [
        ("", 1, "empty"),
        ("a,a\n1,2\n", 1, "name every column once"),
        ("a,\n1,2\n", 1, "name every column once"),
        ("a,b\n1,2\n3\n", 3, "1 fields, the header 2"),
        ('a,b\n"1\n1",2\n3,4,5\n', 4, "3 fields, the header 2"),
        ("a,b\n1,2\n\n3,4\n", 3, "0 fields"),
        ('a,b\n1,"open\n2,3\n', 2, "not proper CSV"),
        ('a,b\n1,"x"y\n', 2, "not proper CSV"),
    ],
)
def test_a_csv_record_that_does_not_fit_is_named_with_its_line(content: str, line: int, what: str) -> None:
    with pytest.raises(SeedError) as caught:
        csv_header(file("t.csv", content))
    assert (caught.value.line, what in caught.value.what) == (line, True)


def test_csv_lines_count_line_breaks_inside_fields() -> None:
    it = file("t.csv", '\ufeffid,note\r\n1,"a\nb"\r\n2,c\r\n\r\n')
    assert (csv_header(it), csv_lines(it), csv_line_of(it, "id", "2")) == (["id", "note"], [2, 4], 4)


def test_tab_separated_values_know_no_quotes() -> None:
    assert csv_header(file("t.tsv", 'a\tb\n"1\t2\n')) == ["a", "b"]


@pytest.mark.parametrize(
    ("name", "content", "line", "what"),
    [
        ("t.json", "", 1, "array of objects"),
        ("t.json", '\n{"a": 1}', 2, "array of objects"),
        ("t.json", '[\n{"a": 1},\n{"a": }\n]', 3, "not proper JSON"),
        ("t.json", '[\n{"a": 1}\n{"a": 2}]', 3, "comma or ]"),
        ("t.json", '[\n{"a": 1},\n]', 3, "not proper JSON"),
        ("t.json", '[\n{"a": 1}]\nrest', 3, "after the array"),
        ("t.json", '[\n{"a": 1},\n[1]]', 3, "a row must be an object"),
        ("t.json", "[\n{}]", 2, "at least one column"),
        ("t.json", '[\n{"a": 1, "a": 2}]', 2, "not proper JSON"),
        ("t.json", '[\n{"a": NaN}]', 2, "not proper JSON"),
        ("t.json", '[{"a": 1}', 1, "comma or ]"),
        ("t.jsonl", '{"a": 1}\n{"a": 2', 2, "not proper JSON"),
        ("t.jsonl", '{"a": 1} {"a": 2}', 1, "after the object"),
        ("t.jsonl", '{"a": 1}\n\n7', 3, "a row must be an object"),
        ("t.json", "[" * 100_000, 1, "not proper JSON"),
    ],
)
def test_what_is_not_json_rows_is_named_with_its_line(name: str, content: str, line: int, what: str) -> None:
    with pytest.raises(SeedError) as caught:
        json_rows(file(name, content))
    assert (caught.value.line, what in caught.value.what) == (line, True)


ROWS = st.lists(
    st.dictionaries(
        st.text(min_size=1, max_size=4),
        st.one_of(st.integers(), st.text(max_size=5), st.none(), st.lists(st.booleans(), max_size=2)),
        min_size=1,
        max_size=3,
    ),
    max_size=6,
)


@given(ROWS, st.sampled_from([None, 0, 2]))
def test_every_array_of_objects_is_read_object_by_object_as_written(
    rows: list[dict[str, object]], indent: int | None
) -> None:
    found = json_rows(file("t.json", json.dumps(rows, indent=indent)))
    assert [json.loads(row.text) for row in found] == rows
    assert [row.keys for row in found] == [tuple(row) for row in rows]


def test_numbers_keep_their_digits() -> None:
    (row,) = json_rows(file("t.jsonl", '{"amount": 12345678901234567890.10}'))
    assert row.text == '{"amount": 12345678901234567890.10}'
