"""Read what fixture files hold: text, CSV, JSON. What is wrong with them is found before anything is loaded."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from test_framework.errors import SeedError
from test_framework.services.base import FixtureFile

__all__ = ["JsonRow", "check_each", "csv_header", "csv_line_of", "csv_lines", "json_rows", "table_of", "text_of"]

BOM = b"\xef\xbb\xbf"
_FIELD_LIMIT = 256 * 1024 * 1024
# The number that orders the files is no part of the table's name.
_TABLE = re.compile(r"(?:\d+[_-])?(.+)")
_BLANK = re.compile(r"[ \t\r\n]*")


def check_each(files: Sequence[FixtureFile], check: Callable[[FixtureFile], None]) -> list[SeedError]:
    """What ``check`` raised, file by file: all bad files are named at once."""
    errors = []
    for file in files:
        try:
            check(file)
        except SeedError as error:
            errors.append(error)
    return errors


def text_of(file: FixtureFile) -> str:
    """The file as text, without a byte order mark.

    Raises:
        SeedError: it is not UTF-8, or holds a NUL, which no server here takes; with the line.
    """
    content = file.content.removeprefix(BOM)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise SeedError(
            "the file is not UTF-8",
            file=file.path,
            line=line,
            cause=f"byte 0x{content[error.start]:02x}: {error.reason}",
            fix="save it as UTF-8",
        ) from error
    if (nul := text.find("\0")) >= 0:
        raise SeedError("the file holds a NUL character", file=file.path, line=text.count("\n", 0, nul) + 1)
    return text


def table_of(file: FixtureFile) -> str:
    """``backend.agents`` of ``20_backend.agents.csv``. It is quoted before it reaches a server."""
    found = _TABLE.fullmatch(file.path.stem)
    if found is None or not found[1].strip():
        raise SeedError("the file's name holds no table", file=file.path, fix="call it like 20_schema.table.csv")
    return found[1]


def _records(file: FixtureFile) -> Iterator[tuple[int, list[str]]]:
    """The records with the line each begins on; lines left empty at the end do not count."""
    text = text_of(file).rstrip("\r\n")
    previous = csv.field_size_limit(_FIELD_LIMIT)
    lines = io.StringIO(text, newline="")
    if file.path.suffix.lower() == ".tsv":
        reader = csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE, strict=True)
    else:
        reader = csv.reader(lines, strict=True)
    line = 1
    try:
        for record in reader:
            yield line, record
            line = reader.line_num + 1
    except csv.Error as error:
        raise SeedError("the file is not proper CSV", file=file.path, line=line, cause=str(error)) from error
    finally:
        csv.field_size_limit(previous)


def csv_header(file: FixtureFile) -> list[str]:
    """The column names in the first line, after every record was counted against them.

    Raises:
        SeedError: with the line of the first record that does not fit.
    """
    header: list[str] | None = None
    for line, record in _records(file):
        if header is None:
            header = record
            if not all(header) or len(set(header)) != len(header):
                raise SeedError(
                    "the first line must name every column once", file=file.path, line=line, cause=f"it is {header}"
                )
        elif len(record) != len(header):
            raise SeedError(f"the record has {len(record)} fields, the header {len(header)}", file=file.path, line=line)
    if header is None:
        raise SeedError("the file is empty: its first line must name the columns", file=file.path, line=1)
    return header


def csv_lines(file: FixtureFile) -> list[int]:
    """The line on which each record after the header begins."""
    return [line for line, _ in _records(file)][1:]


def csv_line_of(file: FixtureFile, column: str, value: str) -> int | None:
    """The line of the first record that has ``value`` in ``column``."""
    records = _records(file)
    _, header = next(records)
    if column not in header:
        return None
    index = header.index(column)
    return next((line for line, record in records if record[index] == value), None)


@dataclass(frozen=True)
class JsonRow:
    """One object: its line, its keys, and its text as written, so that no number loses a digit."""

    line: int
    keys: tuple[str, ...]
    text: str


def json_rows(file: FixtureFile) -> list[JsonRow]:
    """The objects of a ``.json`` file (one array of them) or a ``.jsonl`` file (one per line).

    Raises:
        SeedError: with the line.
    """
    text = text_of(file)
    if file.path.suffix.lower() == ".jsonl":
        lines = text.split("\n")
        return [_line_row(file, number, line) for number, line in enumerate(lines, 1) if line.strip()]
    return list(_array_rows(file, text))


def _line_row(file: FixtureFile, number: int, line: str) -> JsonRow:
    begin = len(line) - len(line.lstrip())
    value, end = _decode(file, line, begin, number)
    if line[end:].strip():
        raise SeedError("there is something after the object", file=file.path, line=number, cause=line[end:][:80])
    return _row(file, number, value, line[begin:end])


def _array_rows(file: FixtureFile, text: str) -> Iterator[JsonRow]:
    at = _skip_blank(text, 0)
    if text[at : at + 1] != "[":
        raise SeedError(
            "the file must hold an array of objects", file=file.path, line=_line(text, at), fix="write [ {…}, {…} ]"
        )
    line, counted = 1, 0
    at = _skip_blank(text, at + 1)
    mark = text[at : at + 1]
    while mark != "]":
        line, counted = line + text.count("\n", counted, at), at
        value, end = _decode(file, text, at, None)
        yield _row(file, line, value, text[at:end])
        at = _skip_blank(text, end)
        mark = text[at : at + 1]
        if mark not in (",", "]"):
            raise SeedError("a comma or ] is missing", file=file.path, line=_line(text, at))
        at = at if mark == "]" else _skip_blank(text, at + 1)
    rest = _skip_blank(text, at + 1)
    if rest < len(text):
        raise SeedError("there is something after the array", file=file.path, line=_line(text, rest))


def _decode(file: FixtureFile, text: str, at: int, line: int | None) -> tuple[Any, int]:
    try:
        return _DECODER.raw_decode(text, at)
    except json.JSONDecodeError as error:
        where = line if line is not None else _line(text, error.pos)
        raise SeedError("the file is not proper JSON", file=file.path, line=where, cause=error.msg) from error
    except (ValueError, RecursionError) as error:
        where = line if line is not None else _line(text, at)
        raise SeedError("the file is not proper JSON", file=file.path, line=where, cause=str(error)) from error


def _row(file: FixtureFile, line: int, value: Any, text: str) -> JsonRow:
    if not isinstance(value, dict) or not value:
        raise SeedError("a row must be an object with at least one column", file=file.path, line=line, cause=text[:80])
    return JsonRow(line, tuple(value), text)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError("a key occurs twice in one object")
    return values


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _skip_blank(text: str, at: int) -> int:
    found = _BLANK.match(text, at)
    assert found is not None  # it matches nothing at all, too
    return found.end()


def _line(text: str, at: int) -> int:
    return text.count("\n", 0, at) + 1


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)
