"""Settings that name a file to read: schemas and templates. The engine would take any path of the host."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from test_framework.embedded_clickhouse.assignments import assignments
from test_framework.embedded_clickhouse.errors import ClickHouseError

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
        for name, found in assignments(sql, _NAMES):
            if not (inline and name == b"format_schema"):
                _check(name, found, files)


def _check(name: bytes, value: str | None, files: Path) -> None:
    if value is not None:
        path = value.rpartition(":")[0] if name == b"format_schema" and ":" in value else value
        root = os.path.realpath(files)
        target = os.path.realpath(os.path.join(root, path))  # noqa: PTH118 - need not be a path at all
        if target.startswith(root + os.sep) and "\0" not in path:
            return
    raise ClickHouseError(481, "PATH_ACCESS_DENIED", f"The file of {name.decode()} is not inside {files}")
