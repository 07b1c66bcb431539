"""Cutting ClickHouse scripts into statements."""

from __future__ import annotations

from pathlib import Path

import pytest

from test_framework.errors import SeedError
from test_framework.services.clickhouse.statements import statements

FILE = Path("01_x.sql")


def cut(text: str) -> list[tuple[int, str]]:
    return [(statement.line, statement.text) for statement in statements(text, FILE)]


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT ';'",
        r"SELECT 'a\';b'",
        "SELECT 'it''s; fine'",
        r"SELECT `a\`;b` FROM `c;d`",
        'SELECT ";"',
        "SELECT $$;$$",
        "SELECT $doc$ ; $$ ; $doc$",
        "SELECT 1 /* ; */ + 1",
        "SELECT 1 -- ;\n + 1",
        "SELECT 1 # ;\n + 1",
        "INSERT INTO t VALUES ('a;b'), (';')",
        "INSERT INTO t FORMAT Values (1), (2)",
        "SELECT 'INSERT INTO t FORMAT CSV 1'",
    ],
)
def test_a_semicolon_inside_something_does_not_end_a_statement(statement: str) -> None:
    assert cut(f"{statement};\nSELECT 2;") == [(1, statement), (2 + statement.count("\n"), "SELECT 2")]


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("SELECT 1;\nSELECT `open", 2, "quote ` is never closed"),
        ("SELECT 1;\n\nSELECT $x$ open", 3, "quote $x$ is never closed"),
        ("SELECT 1;\nUSE other;", 2, "USE has no effect"),
        ("SELECT 1;\nINSERT INTO t FORMAT CSV\n1,2\n", 2, "CSV cannot stand in a script"),
        ("insert into t (a) format JSONEachRow {}", 1, "JSONEachRow cannot stand in a script"),
        ("/* open", 1, "a comment /* is never closed"),
    ],
)
def test_what_cannot_be_loaded_is_named_with_its_line(text: str, line: int, what: str) -> None:
    with pytest.raises(SeedError) as caught:
        cut(text)
    assert (caught.value.line, what in caught.value.what) == (line, True)
