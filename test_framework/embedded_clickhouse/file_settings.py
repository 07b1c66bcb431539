"""Settings that name a file to read: schemas and templates. The engine would take any path of the host."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from test_framework.embedded_clickhouse.errors import ClickHouseError
from test_framework.embedded_clickhouse.lexer import (
    HEREDOC,
    QUOTED,
    STRING,
    WORD,
    Token,
    identifier_text,
    string_value,
    tokens,
)

__all__ = ["check_file_settings"]

_NAMES = (b"format_template_row", b"format_template_resultset", b"format_schema")


def check_file_settings(sql: bytes, settings: Mapping[str, str], *, files: Path) -> None:
    """Refuse files outside of ``files``, in the statement and in the request's settings.

    Raises:
        ClickHouseError: PATH_ACCESS_DENIED.
    """
    inline = settings.get("format_schema_source", "file") != "file" or b"format_schema_source" in sql
    for name in _NAMES:
        if (value := settings.get(name.decode())) and not (inline and name == b"format_schema"):
            _check(name, value, files)
    if any(name in sql for name in _NAMES):
        for name, found in _assignments(sql):
            if not (inline and name == b"format_schema"):
                _check(name, found, files)


def _assignments(sql: bytes) -> Iterator[tuple[bytes, str | None]]:
    """Name and value of each ``name = value`` of these settings; no value where it is no literal."""
    before: list[bytes] = [b"", b""]
    for token in tokens(sql):
        if before[1] == b"=" and before[0] in _NAMES:
            yield before[0], _text(sql, token)
        before = [before[1], _name(sql, token)]


def _name(sql: bytes, token: Token) -> bytes:
    return identifier_text(sql, token) if token[0] in (WORD, QUOTED) else sql[token[1] : token[2]]


def _text(sql: bytes, token: Token) -> str | None:
    if token[0] not in (STRING, HEREDOC):
        return None
    return string_value(sql, token).decode("utf-8", "surrogateescape")


def _check(name: bytes, value: str | None, files: Path) -> None:
    if value is not None:
        path = value.rpartition(":")[0] if name == b"format_schema" and ":" in value else value
        root = os.path.realpath(files)
        target = os.path.realpath(os.path.join(root, path))  # noqa: PTH118 - need not be a path at all
        if target.startswith(root + os.sep) and "\0" not in path:
            return
    raise ClickHouseError(481, "PATH_ACCESS_DENIED", f"The file of {name.decode()} is not inside {files}")
