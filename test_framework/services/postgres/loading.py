"""Check and load one fixture file into the PostgreSQL database being built."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from itertools import groupby

import asyncpg

from test_framework.errors import SeedError
from test_framework.services.base import FixtureFile
from test_framework.services.postgres.client import quote_identifier
from test_framework.services.postgres.databases import Connection
from test_framework.services.postgres.statements import COPY_FROM_STDIN, names_in, statements
from test_framework.services.scripts import Statement
from test_framework.services.sources import (
    BOM,
    JsonRow,
    check_each,
    csv_header,
    csv_line_of,
    json_rows,
    table_of,
    text_of,
)

__all__ = ["check", "load"]

_BATCH = 1000
_COPY_LINE = re.compile(r"^COPY .*?, line (\d+)", re.MULTILINE)
_KEY = re.compile(r"Key \(([^,()]+)\)=\((.*)\)")
_ROWS = re.compile(r"(?:INSERT \d+|COPY|UPDATE|DELETE|SELECT|MERGE) (\d+)")


def check(files: Sequence[FixtureFile]) -> list[SeedError]:
    """Every error that can be found without a server, in file order."""
    return check_each(files, _check)


def _check(file: FixtureFile) -> None:
    kind = file.path.suffix.lower()
    if kind == ".sql":
        for _ in statements(text_of(file), file.path):
            pass
        return
    _target(file)
    if kind == ".csv":
        csv_header(file)
    else:
        json_rows(file)


async def load(connection: Connection, file: FixtureFile) -> int:
    """Load ``file`` and return the rows it wrote.

    Raises:
        SeedError: with the line of the statement or row that the server refused.
    """
    kind = file.path.suffix.lower()
    if kind == ".sql":
        return await _load_script(connection, file)
    return await (_load_csv if kind == ".csv" else _load_json)(connection, file)


async def _load_script(connection: Connection, file: FixtureFile) -> int:
    rows = 0
    for statement in statements(text_of(file), file.path):
        try:
            rows += _rows(await _run(connection, statement))
        except asyncpg.PostgresError as error:
            raise _script_error(error, file, statement) from error
    if connection.is_in_transaction():
        raise SeedError(
            "the script begins a transaction and never ends it",
            file=file.path,
            fix="add COMMIT at its end, or drop its BEGIN: the whole seed is atomic anyway",
        )
    return rows


async def _run(connection: Connection, statement: Statement) -> str:
    if statement.data is None:
        return await connection.execute(statement.text)
    target = COPY_FROM_STDIN.fullmatch(statement.text)
    assert target is not None  # that is why it has data
    return await connection.copy_to_table(
        names_in(target["table"])[0],
        schema_name=names_in(target["schema"])[0] if target["schema"] else None,
        columns=names_in(target["columns"]) if target["columns"] else None,
        source=io.BytesIO(statement.data.encode()),
        format="text",
    )


async def _load_csv(connection: Connection, file: FixtureFile) -> int:
    schema, table = _target(file)
    header = csv_header(file)
    # The checks let empty lines at the end pass, the server would not; and it wants all lines to end alike.
    ending = b"\r\n" if b"\r\n" in file.content[: file.content.find(b"\n") + 1] else b"\n"
    content = file.content.removeprefix(BOM).rstrip(b"\r\n") + ending
    try:
        status = await connection.copy_to_table(
            table, schema_name=schema, columns=header, source=io.BytesIO(content), format="csv", header=True
        )
    except asyncpg.PostgresError as error:
        raise _error(error, file, _csv_line(error, file)) from error
    return _rows(status)


async def _load_json(connection: Connection, file: FixtureFile) -> int:
    rows = json_rows(file)
    for keys, group in groupby(rows, key=lambda row: row.keys):
        same = list(group)
        for begin in range(0, len(same), _BATCH):
            await _insert(connection, file, keys, same[begin : begin + _BATCH])
    return len(rows)


async def _insert(connection: Connection, file: FixtureFile, keys: tuple[str, ...], rows: list[JsonRow]) -> None:
    """Rows with the same keys in one statement; when the server refuses it, one by one, to find the line."""
    schema, table = _target(file)
    target = (f"{quote_identifier(schema)}." if schema else "") + quote_identifier(table)
    columns = ", ".join(quote_identifier(key) for key in keys)
    sql = (
        f"INSERT INTO {target} ({columns}) OVERRIDING SYSTEM VALUE"
        f" SELECT {columns} FROM json_populate_recordset(NULL::{target}, $1::json)"
    )
    try:
        await connection.execute(sql, f"[{','.join(row.text for row in rows)}]")
    except asyncpg.PostgresError as error:
        if len(rows) == 1:
            raise _error(error, file, rows[0].line) from error
        for row in rows:
            await _insert(connection, file, keys, [row])


def _target(file: FixtureFile) -> tuple[str | None, str]:
    schema, dot, table = table_of(file).partition(".")
    if not dot:
        return None, schema
    if not schema or not table or "." in table:
        raise SeedError("the file's name must be schema.table or table", file=file.path)
    return schema, table


def _rows(status: str) -> int:
    found = _ROWS.fullmatch(status)
    return int(found[1]) if found and not status.startswith("SELECT") else 0


def _script_error(error: asyncpg.PostgresError, file: FixtureFile, statement: Statement) -> SeedError:
    line = statement.line
    if statement.data is not None and (found := _COPY_LINE.search(str(getattr(error, "context", "") or ""))):
        line += statement.text.count("\n") + int(found[1])
    elif position := getattr(error, "position", None):
        line = statement.line_of(int(position) - 1)
    return _error(error, file, line, statement.excerpt)


def _csv_line(error: asyncpg.PostgresError, file: FixtureFile) -> int | None:
    """The server counts lines while it copies. Foreign keys it checks at the end, and names the value alone."""
    if found := _COPY_LINE.search(str(getattr(error, "context", "") or "")):
        return int(found[1])
    if isinstance(error, asyncpg.UndefinedTableError | asyncpg.UndefinedColumnError):
        return 1
    found = _KEY.search(str(getattr(error, "detail", "") or ""))
    return csv_line_of(file, found[1], found[2]) if found else None


def _error(error: asyncpg.PostgresError, file: FixtureFile, line: int | None, excerpt: str | None = None) -> SeedError:
    causes = [getattr(error, "detail", None), f"in: {excerpt}" if excerpt else None, f"SQLSTATE {error.sqlstate}"]
    return SeedError(
        str(error.args[0] if error.args else error),
        file=file.path,
        line=line,
        cause="; ".join(part for part in causes if part),
        fix=getattr(error, "hint", None),
    )
