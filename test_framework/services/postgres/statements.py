"""What PostgreSQL's SQL is made of, as far as cutting it into statements goes: psql's own rules."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from test_framework.services.scripts import Dialect, Script, Statement, split_script

__all__ = ["COPY_FROM_STDIN", "statements"]

_NAME = r'(?:"(?:[^"]|"")+"|[^\W\d][\w$]*)'
_TOKEN = re.compile(
    r"""
      (?P<comment>--[^\n]*)
    | (?P<nested>/\*)
    | (?P<quoted>(?<![\w$])[eE]'[^'\\]*(?:(?:\\.|'')[^'\\]*)*' | (?<!(?<![\w$])[eE])'[^']*' | "[^"]*")
    | (?P<dollar>(?<![\w$])\$(?:[^\W\d]\w*)?\$)
    | (?P<open>['"])
    | (?P<end>;)
    | (?P<parenthesis>[()])
    | (?P<word>(?<![\w$.])(?:begin|case|end)(?![\w$]))
    | (?P<meta>\\[^\n]*)
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)
_GAP = r"(?:\s|--[^\n]*\n|/\*.*?\*/)+"
_ROUTINE = re.compile(rf"create{_GAP}(?:or{_GAP}replace{_GAP})?(?:function|procedure)\b", re.IGNORECASE | re.DOTALL)
_COPY = re.compile(r"copy\b.*\bfrom\b", re.IGNORECASE | re.DOTALL)
# What pg_dump writes. Columns in quotes may hold anything, so they are matched, not cut at commas.
COPY_FROM_STDIN = re.compile(
    rf"copy\s+(?:(?P<schema>{_NAME})\s*\.\s*)?(?P<table>{_NAME})\s*"
    rf"(?:\(\s*(?P<columns>{_NAME}(?:\s*,\s*{_NAME})*)\s*\)\s*)?from\s+stdin",
    re.IGNORECASE,
)
_NAMES = re.compile(_NAME)
# pg_dump guards its scripts with these; without psql there is nothing to guard.
_HARMLESS = re.compile(r"\\(?:un)?restrict\b")


def names_in(text: str) -> list[str]:
    """The identifiers in a comma separated list, folded and unquoted as the server would."""
    return [name[1:-1].replace('""', '"') if name.startswith('"') else name.lower() for name in _NAMES.findall(text)]


def statements(text: str, file: Path) -> Iterator[Statement]:
    """The statements of a script. A ``COPY … FROM stdin`` carries the rows that follow it.

    Raises:
        SeedError: with the line.
    """
    return split_script(text, file, _DIALECT)


def _special(script: Script, found: re.Match[str]) -> None:
    if found.lastgroup == "parenthesis":
        script.parentheses = max(0, script.parentheses + (1 if found[0] == "(" else -1))
    elif found.lastgroup == "word":
        _count_blocks(script, found[0].lower())
    elif not _HARMLESS.match(found[0]):
        raise script.error(
            f"{found[0].split()[0]} is a command of psql, not SQL",
            found.start(),
            fix="write it as SQL, or run the script by a migration command that calls psql",
        )


def _count_blocks(script: Script, word: str) -> None:
    """Semicolons inside ``BEGIN ATOMIC … END`` belong to the routine; ``CASE`` has an ``END`` of its own."""
    if (word == "begin" and _ROUTINE.match(script.text, script.start)) or (word == "case" and script.blocks):
        script.blocks += 1
    elif word == "end" and script.blocks:
        script.blocks -= 1


def _refuse(text: str) -> str | None:
    if text[:4].lower() == "copy" and _COPY.match(text) and not COPY_FROM_STDIN.fullmatch(text):
        return "of COPY … FROM, only the plain form FROM stdin that pg_dump writes can be loaded"
    return None


def _takes_data(text: str) -> bool:
    return COPY_FROM_STDIN.fullmatch(text) is not None


_DIALECT = Dialect(token=_TOKEN, special=_special, refuse=_refuse, takes_data=_takes_data)
