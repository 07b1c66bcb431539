"""Values that a statement gives to settings, as far as the endpoint itself has to know them."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from test_framework.embedded_clickhouse.lexer import (
    HEREDOC,
    NUMBER,
    QUOTED,
    STRING,
    WORD,
    Token,
    identifier_text,
    string_value,
    tokens,
)

__all__ = ["assigned", "assignments"]


def assignments(sql: bytes, names: Collection[bytes]) -> Iterator[tuple[bytes, str | None]]:
    """Name and value of each ``name = value`` of these settings; no value where it is no literal."""
    before: list[bytes] = [b"", b""]
    for token in tokens(sql):
        if before[1] == b"=" and before[0] in names:
            yield before[0], _text(sql, token)
        before = [before[1], _name(sql, token)]


def assigned(sql: bytes, name: bytes) -> str | None:
    """What the statement sets ``name`` to; ``None`` where it does not."""
    if name not in sql:
        return None
    return next((value for _, value in assignments(sql, (name,)) if value is not None), None)


def _name(sql: bytes, token: Token) -> bytes:
    return identifier_text(sql, token) if token[0] in (WORD, QUOTED) else sql[token[1] : token[2]]


def _text(sql: bytes, token: Token) -> str | None:
    if token[0] == NUMBER:
        return sql[token[1] : token[2]].decode("ascii", "replace")
    if token[0] not in (STRING, HEREDOC):
        return None
    return string_value(sql, token).decode("utf-8", "surrogateescape")
