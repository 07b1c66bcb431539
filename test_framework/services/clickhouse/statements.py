"""What ClickHouse's SQL is made of, as far as cutting it into statements goes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from test_framework.services.scripts import Dialect, Script, Statement, split_script

__all__ = ["statements"]

_TOKEN = re.compile(
    r"""
      (?P<comment>--[^\n]*|\#[ !][^\n]*)
    | (?P<nested>/\*)
    | (?P<quoted>'[^'\\]*(?:\\.[^'\\]*)*' | "[^"\\]*(?:\\.[^"\\]*)*" | `[^`\\]*(?:\\.[^`\\]*)*`)
    | (?P<dollar>(?<![\w$])\$\w*\$)
    | (?P<open>['"`])
    | (?P<end>;)
    """,
    re.VERBOSE | re.DOTALL,
)
_USE = re.compile(r"use\s", re.IGNORECASE)
_INSERT = re.compile(r"(?:with\b.*\b)?insert\s+into\b", re.IGNORECASE | re.DOTALL)
_FORMAT = re.compile(r"\bformat\s+(?!values\b)(\w+)\s*\S", re.IGNORECASE)


def statements(text: str, file: Path) -> Iterator[Statement]:
    """The statements of a script.

    Raises:
        SeedError: with the line.
    """
    return split_script(text, file, _DIALECT)


def _special(script: Script, found: re.Match[str]) -> None:
    raise AssertionError(f"no such token: {found.lastgroup}")


def _refuse(text: str) -> str | None:
    if _USE.match(text):
        return "USE has no effect here: every statement runs in the database being seeded"
    if _INSERT.match(text) and (found := _FORMAT.search(_TOKEN.sub(" ", text))):
        return f"rows in the format {found[1]} cannot stand in a script: put them into a file like 10_table.csv"
    return None


def _takes_data(text: str) -> bool:
    del text
    return False


_DIALECT = Dialect(token=_TOKEN, special=_special, refuse=_refuse, takes_data=_takes_data)
