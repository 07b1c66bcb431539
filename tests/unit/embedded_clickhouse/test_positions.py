"""Where a syntax error is, in the client's own text."""

from __future__ import annotations

import pytest

from test_framework.embedded_clickhouse.errors import ClickHouseError
from test_framework.embedded_clickhouse.positions import located, second_statement
from test_framework.embedded_clickhouse.statement import split_statement


def moved(source: bytes, message: str, code: int = 62) -> str:
    return located(ClickHouseError(code, "SYNTAX_ERROR", message), split_statement(source)).message


@pytest.mark.parametrize(
    ("source", "said", "shown"),
    [
        (b"SELEC 1", "failed at position 1 (SELEC): SELEC 1", "failed at position 1 (SELEC): SELEC 1"),
        (b"  SELEC 1", "failed at position 1 (SELEC): SELEC 1", "failed at position 3 (SELEC): SELEC 1"),
        (b"-- x\nSELEC 1", "failed at position 1 (SELEC): S", "failed at position 6 (SELEC) (line 2, col 1): S"),
        (b"\n\n a\n b )", "failed at position 6 ()) (line 2, col 4): )", "failed at position 9 ()) (line 4, col 4): )"),
        (
            b" f((",
            "failed at position 2 ((): (. Unmatched parentheses: '(' at position 3 is never closed",
            "failed at position 3 ((): (. Unmatched parentheses: '(' at position 4 is never closed",
        ),
    ],
)
def test_what_the_engine_did_not_get_is_counted(source: bytes, said: str, shown: str) -> None:
    assert moved(source, said) == shown


def test_other_errors_keep_their_words() -> None:
    assert moved(b"  SELECT 1", "failed at position 1 (x): y", code=47) == "failed at position 1 (x): y"


@pytest.mark.parametrize(
    ("source", "place"),
    [
        (b"SELECT 1; SELECT 2", "9 (end of query): ; SELECT 2. "),
        (b"SELECT 1 ; SELECT 2", "10 (end of query): ; SELECT 2. "),
        (b"\nSELECT 1;\nSELECT 2", "10 (end of query) (line 2, col 9): ;\nSELECT 2. "),
        (b"SELECT 1;" + b"x" * 200, f"9 (end of query): ;{'x' * 159}.... "),
    ],
)
def test_a_second_statement_is_found_at_the_semicolon(source: bytes, place: str) -> None:
    expected = f"Syntax error (Multi-statements are not allowed): failed at position {place}"
    assert second_statement(split_statement(source)).message == expected
