"""Check and load one fixture file into the ClickHouse database being built."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from test_framework.errors import SeedError
from test_framework.services.base import FixtureFile
from test_framework.services.clickhouse.client import ClickHouseClient, ClickHouseReplyError, quote_identifier
from test_framework.services.clickhouse.statements import statements
from test_framework.services.scripts import Statement
from test_framework.services.sources import BOM, check_each, csv_header, csv_lines, json_rows, table_of, text_of

__all__ = ["check", "load"]

_FORMATS = {
    ".csv": "CSVWithNames",
    ".tsv": "TSVWithNames",
    ".json": "JSONEachRow",
    ".jsonl": "JSONEachRow",
    ".native": "Native",
    ".parquet": "Parquet",
}
_SETTINGS = {
    "input_format_skip_unknown_fields": "0",  # a misspelt column is an error, not silence
    "async_insert": "0",
    "mutations_sync": "2",
    "wait_end_of_query": "1",  # an error in the middle is then reported as one
}
_PARQUET = b"PAR1"
_POSITION = re.compile(r"\(line (\d+), col \d+\)")
_ROW = re.compile(r"\(at row (\d+)\)")
_NOISE = re.compile(r"^Code: \d+\. DB::(?:\w+::)*Exception: |\s*\(version .*\)\s*$")
_EXPECTED = re.compile(r"\. Expected one of:")  # a hundred words of the grammar follow
_DETAILS = 8
_HEADER_CODES = {16, 60, 117}  # no such column, no such table, unknown field in the header


def check(files: Sequence[FixtureFile]) -> list[SeedError]:
    """Every error that can be found without a server, in file order."""
    return check_each(files, _check)


def _check(file: FixtureFile) -> None:
    kind = file.path.suffix.lower()
    if kind == ".sql":
        for _ in statements(text_of(file), file.path):
            pass
        return
    table_of(file)
    if kind in (".csv", ".tsv"):
        csv_header(file)
    elif kind in (".json", ".jsonl"):
        json_rows(file)
    elif kind == ".parquet" and not (file.content.startswith(_PARQUET) and file.content.endswith(_PARQUET)):
        raise SeedError("the file is not Parquet", file=file.path, cause="it does not begin and end with PAR1")
    elif not file.content:
        raise SeedError("the file is empty", file=file.path)


async def load(client: ClickHouseClient, file: FixtureFile, *, database: str, session: str) -> None:
    """Load ``file`` into ``database``. What a script SETs holds for ``session``.

    Raises:
        SeedError: with the line of the statement or row that the server refused.
    """
    settings = {**_SETTINGS, "session_id": session}
    if file.path.suffix.lower() != ".sql":
        await _insert(client, file, database, settings)
        return
    for statement in statements(text_of(file), file.path):
        try:
            await client.execute(statement.text, database=database, settings=settings)
        except ClickHouseReplyError as error:
            raise _error(error, file, _statement_line(error, statement), statement.excerpt) from error


async def _insert(client: ClickHouseClient, file: FixtureFile, database: str, settings: dict[str, str]) -> None:
    kind = file.path.suffix.lower()
    target = f"{quote_identifier(database)}.{quote_identifier(table_of(file))}"
    content = file.content if kind in (".native", ".parquet") else file.content.removeprefix(BOM).rstrip() + b"\n"
    try:
        await client.execute(f"INSERT INTO {target} FORMAT {_FORMATS[kind]}", body=content, settings=settings)
    except ClickHouseReplyError as error:
        raise _error(error, file, _row_line(error, file)) from error


def _statement_line(error: ClickHouseReplyError, statement: Statement) -> int:
    found = _POSITION.search(str(error))
    return statement.line + (int(found[1]) - 1 if found else 0)


def _row_line(error: ClickHouseReplyError, file: FixtureFile) -> int | None:
    """The line of the row that the server counts from 1."""
    lines_of: Callable[[FixtureFile], Sequence[int]] | None = _LINES.get(file.path.suffix.lower())
    if lines_of is None:
        return None
    found = _ROW.search(str(error))
    if found is None:
        return 1 if error.code in _HEADER_CODES else None
    lines = lines_of(file)
    return lines[min(int(found[1]), len(lines)) - 1]


_LINES: dict[str, Callable[[FixtureFile], Sequence[int]]] = {
    ".csv": csv_lines,
    ".tsv": csv_lines,
    ".json": lambda file: [row.line for row in json_rows(file)],
    ".jsonl": lambda file: [row.line for row in json_rows(file)],
}


def _error(error: ClickHouseReplyError, file: FixtureFile, line: int | None, excerpt: str | None = None) -> SeedError:
    """Its first line says what; the others, cut to what a person reads, belong to the cause."""
    first, *rest = _NOISE.sub("", str(error)).strip().splitlines() or [""]
    details = [line for line in rest if line.strip(" :")][:_DETAILS]
    causes = [f"in: {excerpt}" if excerpt else "", *details, f"ClickHouse error {error.code}"]
    return SeedError(
        _EXPECTED.split(first)[0][:300],
        file=file.path,
        line=line,
        cause="\n    ".join(cause[:300] for cause in causes if cause),
    )
