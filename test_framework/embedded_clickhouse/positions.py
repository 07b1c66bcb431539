"""Places in syntax errors: they count in the text that the client sent, which is not quite what the engine got."""

from __future__ import annotations

import re

from test_framework.embedded_clickhouse.errors import SYNTAX_ERROR, ClickHouseError
from test_framework.embedded_clickhouse.lexer import tokens
from test_framework.embedded_clickhouse.statement import Statement

__all__ = ["check_size", "empty_query", "located", "second_statement"]

_UNMATCHED = re.compile(r"(Unmatched parentheses: )(.*)", re.DOTALL)
_AT = re.compile(r"(?<= at position )\d+")
_PLACE = re.compile(r"(failed at position )(\d+)( \(.*?\))(?: \(line \d+, col \d+\))?(?=: )", re.DOTALL)
#: Bytes of the text that a server shows.
_SHOWN = 160


def located(error: ClickHouseError, statement: Statement) -> ClickHouseError:
    """``error`` with its place counted from the start of the client's text: comments and white space come before."""
    if error.code != SYNTAX_ERROR or not statement.start:
        return error

    def moved(place: re.Match[str]) -> str:
        at = int(place.group(2)) - 1 + statement.start
        return f"{place.group(1)}{at + 1}{place.group(3)}{_line(statement.source, at)}"

    def all_moved(found: re.Match[str]) -> str:
        return found.group(1) + _AT.sub(lambda at: str(int(at.group()) + statement.start), found.group(2))

    message = _UNMATCHED.sub(all_moved, _PLACE.sub(moved, error.message, count=1))
    return ClickHouseError(error.code, error.name, message, error.status)


def _line(source: bytes, at: int) -> str:
    """Line and column of an offset, where there is more than one line."""
    if b"\n" not in source[:-1]:
        return ""
    line, before = source.count(b"\n", 0, at) + 1, source.rfind(b"\n", 0, at)
    return f" (line {line}, col {at - before})"


def check_size(statement: Statement, limit: int) -> None:
    """Refuse the statement of an INSERT, without its data, that is longer than ``limit`` bytes; 0 for no limit.

    Raises:
        ClickHouseError: SYNTAX_ERROR, as a server's parser that sees no more than that of it.
    """
    if not 0 < limit < statement.end - statement.start:
        return
    at = next(token for token in tokens(statement.source, statement.start) if token[2] - statement.start > limit)[1]
    word = statement.source[at : statement.end].decode("utf-8", "replace")
    raise ClickHouseError(
        SYNTAX_ERROR,
        "SYNTAX_ERROR",
        "Max query size exceeded (can be increased with the `max_query_size` setting): "
        f"Syntax error: failed at position {at + 1}{_line(statement.source, at)}: {word[:_SHOWN]}. ",
    )


def empty_query() -> ClickHouseError:
    """What a server says to no statement at all."""
    return ClickHouseError(SYNTAX_ERROR, "SYNTAX_ERROR", "Empty query")


def second_statement(statement: Statement) -> ClickHouseError:
    """What a server says to a second statement: the place is the semicolon before it."""
    source = statement.source
    at = next(tokens(source, statement.end))[1]
    rest = source[at : at + _SHOWN].decode("utf-8", "surrogateescape")
    more = "..." if len(source) > at + _SHOWN else ""
    return ClickHouseError(
        SYNTAX_ERROR,
        "SYNTAX_ERROR",
        "Syntax error (Multi-statements are not allowed): "
        f"failed at position {at + 1} (end of query){_line(source, at)}: {rest}{more}. ",
    )
