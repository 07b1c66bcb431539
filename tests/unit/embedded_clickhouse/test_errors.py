"""Engine errors, translated."""

from __future__ import annotations

import pytest

from test_framework.embedded_clickhouse.errors import http_status, translate


@pytest.mark.parametrize(
    ("text", "code", "name", "message"),
    [
        ("Code: 60. DB::Exception: No t. (UNKNOWN_TABLE)", 60, "UNKNOWN_TABLE", "No t."),
        ("Code: 60. DB::Exception: No t. (UNKNOWN_TABLE) (version 26.9.2.1)", 60, "UNKNOWN_TABLE", "No t."),
        (
            "Code: 73. DB::Exception: Code: 73. DB::Exception: No f. (UNKNOWN_FORMAT) (version 1.2). (UNKNOWN_FORMAT)",
            *(73, "UNKNOWN_FORMAT", "No f."),
        ),
        ("Failed to connect: Code: 81. DB::Exception: No d. (UNKNOWN_DATABASE)", 81, "UNKNOWN_DATABASE", "No d."),
        ("something else", 1002, "UNKNOWN_EXCEPTION", "something else"),
    ],
)  # fmt: skip
def test_an_error_is_read_whatever_the_engine_wraps_around_it(text: str, code: int, name: str, message: str) -> None:
    error = translate(RuntimeError(text))
    assert (error.code, error.name, error.message) == (code, name, message)


def test_an_error_that_quotes_bytes_is_read() -> None:
    raw = b"Code: 62. DB::Exception: at \xff. (SYNTAX_ERROR)"
    error = translate(UnicodeDecodeError("utf-8", raw, 27, 28, "invalid"))
    assert (error.code, error.message) == (62, "at \udcff.")


def test_the_clause_of_the_endpoint_is_not_shown() -> None:
    clause = "\nINTO OUTFILE '/s/spool/result-7' APPEND\nFORMAT CSV"
    text = f"Code: 47. DB::Exception: in SELECT x{clause} here. (UNKNOWN_IDENTIFIER)"
    assert translate(RuntimeError(text)).message == "in SELECT x here."


def test_the_text_is_that_of_a_server() -> None:
    error = translate(RuntimeError("Code: 60. DB::Exception: No t. (UNKNOWN_TABLE)"))
    assert error.text("1.2").startswith("Code: 60. DB::Exception: No t. (UNKNOWN_TABLE) (version 1.2")
    assert error.text("1.2").endswith(")\n")


@pytest.mark.parametrize(
    ("code", "status"), [(62, 400), (60, 404), (516, 403), (194, 401), (159, 408), (48, 501), (241, 500)]
)
def test_a_code_has_the_status_of_a_server(code: int, status: int) -> None:
    assert http_status(code) == status
