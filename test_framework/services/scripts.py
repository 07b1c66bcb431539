"""Cut an SQL script into statements, each with its line: servers report errors in statements, people look for lines.

What a statement is made of differs between servers; a :class:`Dialect` says it, the loop is the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from test_framework.errors import SeedError

__all__ = ["Dialect", "Script", "Statement", "split_script"]


@dataclass(frozen=True)
class Statement:
    """One statement without its semicolon.

    Args:
        line: 1-based line of its first character in the file.
        data: lines that follow it in the script, for ``COPY … FROM stdin``.
    """

    text: str
    line: int
    data: str | None = None

    def line_of(self, offset: int) -> int:
        """The line in the file of the character at ``offset`` (from 0) of this statement."""
        return self.line + self.text.count("\n", 0, offset)

    @property
    def excerpt(self) -> str:
        """Its beginning on one line, for messages."""
        flat = " ".join(self.text.split())
        return flat if len(flat) <= 120 else flat[:117] + "…"


class Script:
    """A position in a script, moved on by the tokens."""

    def __init__(self, text: str, file: Path) -> None:
        self.text = text
        self.file = file
        self.start = 0  # of the statement
        self.at = 0
        self.parentheses = 0
        self.blocks = 0

    def line_at(self, offset: int) -> int:
        return self.text.count("\n", 0, offset) + 1

    def error(self, what: str, offset: int, fix: str | None = None) -> SeedError:
        return SeedError(what, file=self.file, line=self.line_at(offset), fix=fix)

    @property
    def between_statements(self) -> bool:
        """Nothing but white space and comments since the last statement."""
        return self.start == self.at

    def skip_to(self, closing: str, opened: int, what: str) -> None:
        """Move behind the next ``closing``."""
        found = self.text.find(closing, self.at)
        if found < 0:
            raise self.error(f"{what} is never closed", opened)
        self.at = found + len(closing)

    def skip_comment(self, opened: int) -> None:
        """Move behind the end of a ``/* … */``, in which others may be nested."""
        depth = 1
        while depth:
            found = _COMMENT_EDGE.search(self.text, self.at)
            if found is None:
                raise self.error("a comment /* is never closed", opened)
            depth += 1 if found[0] == "/*" else -1
            self.at = found.end()


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """What one server's SQL is made of.

    Args:
        token: finds the next thing that matters. Groups: ``comment`` (to the end of its line), ``nested`` (``/*``),
            ``quoted`` (complete), ``dollar`` (opening tag), ``open`` (a quote that is never closed), ``end`` (``;``),
            and any others for ``special``.
        special: handles other groups.
        refuse: why a statement cannot be loaded, or ``None``.
        takes_data: whether lines up to ``\\.`` belong to a statement.
    """

    token: re.Pattern[str]
    special: Callable[[Script, re.Match[str]], None]
    refuse: Callable[[str], str | None]
    takes_data: Callable[[str], bool]


_COMMENT_EDGE = re.compile(r"/\*|\*/")
_SPACE = re.compile(r"\s+")
_DATA_END = re.compile(r"^\\\.[ \t\r]*$", re.MULTILINE)


def split_script(text: str, file: Path, dialect: Dialect) -> Iterator[Statement]:
    """The statements of ``text`` in order; comments between them are dropped.

    Raises:
        SeedError: a quote or comment that is never closed, or something only a shell understands; with its line.
    """
    script = Script(text, file)
    line, counted = 1, 0
    while (statement := _next_statement(script, dialect)) is not None:
        begin, end = statement
        line, counted = line + text.count("\n", counted, begin), begin
        body = text[begin:end].rstrip()
        if reason := dialect.refuse(body):
            raise SeedError(reason, file=file, line=line, cause=Statement(body, line).excerpt)
        data = _take_data(script) if dialect.takes_data(body) else None
        yield Statement(body, line, data)


def _next_statement(script: Script, dialect: Dialect) -> tuple[int, int] | None:
    """Begin and end of the next statement that is not empty; the script stands behind it."""
    text = script.text
    script.start = script.at
    while True:
        if script.between_statements and (space := _SPACE.match(text, script.at)):
            script.start = script.at = space.end()
        found = dialect.token.search(text, script.at)
        fresh = script.between_statements and (found is None or not text[script.at : found.start()].strip())
        if found is None:
            end = len(text)
            script.at = end
            return None if fresh and not text[script.start :].strip() else (script.start, end)
        script.at = found.end()
        if found.lastgroup == "end":
            if script.parentheses == 0 and script.blocks == 0:
                if not fresh:
                    return script.start, found.start()
                script.start = script.at
            continue
        _pass_token(script, found, dialect)
        if fresh and found.lastgroup in ("comment", "nested", "meta"):
            script.start = script.at


def _pass_token(script: Script, found: re.Match[str], dialect: Dialect) -> None:
    kind = found.lastgroup
    if kind == "nested":
        script.skip_comment(found.start())
    elif kind == "dollar":
        script.skip_to(found[0], found.start(), f"the quote {found[0]}")
    elif kind == "open":
        raise script.error(f"the quote {found[0]} is never closed", found.start())
    elif kind not in ("comment", "quoted"):
        dialect.special(script, found)


def _take_data(script: Script) -> str:
    """The lines after the statement's own, up to ``\\.``."""
    begin = script.text.find("\n", script.at) + 1
    found = _DATA_END.search(script.text, begin) if begin else None
    if found is None:
        raise script.error("the rows of COPY … FROM stdin do not end with a line \\.", script.start)
    script.at = found.end()
    return script.text[begin : found.start()]
