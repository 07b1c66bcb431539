"""Where the SQL of an INSERT ends and its data begins, found by the engine's own grammar for the head.

``[WITH …] INSERT INTO [TABLE] (name | [FUNCTION] f(…) [PARTITION BY …]) [(columns)] [FROM INFILE 'f' [COMPRESSION 'c']]
[SETTINGS …] (VALUES data | FORMAT name data | SELECT … [FORMAT name data])``
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from test_framework.embedded_clickhouse.cursor import Cursor, ends_expression
from test_framework.embedded_clickhouse.lexer import PUNCT, WORD, NeedMore, identifier_text, string_value

__all__ = ["Insert", "MalformedInsert", "parse_insert"]

_DEPTH = {b"(": 1, b"[": 1, b"{": 1, b")": -1, b"]": -1, b"}": -1}
_DATA_GAP = re.compile(rb"[ \t\f]*+(\r?\n?)")


class MalformedInsert(Exception):
    """The head is not an INSERT that the engine takes. ``end`` is the offset after the token that spoils it."""

    def __init__(self, end: int) -> None:
        super().__init__(end)
        self.end = end


@dataclass(frozen=True, slots=True)
class Insert:
    """The parts of an INSERT statement; offsets count from the start of the text that was split."""

    #: The statement up to VALUES or FORMAT, as the engine's insert interface wants it.
    head: bytes
    #: Format of the data: from FORMAT, ``Values``, or ``None`` when the statement does not say.
    format: str | None
    #: Offset of the first byte of data; ``None`` when the statement takes none (INSERT … SELECT, FROM INFILE).
    data_offset: int | None
    #: Offset after the last token of the SQL.
    sql_end: int
    has_select: bool = False
    #: Spans ``input … )`` of each call of the ``input`` table function.
    input_calls: tuple[tuple[int, int], ...] = ()
    #: The path of FROM INFILE.
    from_infile: bytes | None = None
    #: Offset inside of ``head`` of the word SETTINGS, which stands behind the place of FROM INFILE.
    settings_at: int | None = None

    @property
    def uses_input_function(self) -> bool:
        return bool(self.input_calls)


def parse_insert(cursor: Cursor, start: int, *, final: bool) -> Insert:
    """Parse from the word INSERT; ``start`` is where the statement begins (at WITH, perhaps).

    Raises:
        MalformedInsert: the head is no INSERT.
        NeedMore: the text so far does not decide it (only while not ``final``).
    """
    if not cursor.accept(b"INSERT", b"INTO"):
        raise _malformed(cursor)
    _target(cursor)
    infile = _columns_and_infile(cursor)
    settings_at = cursor.start - start if cursor.word == b"SETTINGS" else None
    if cursor.accept(b"SETTINGS") and not _settings(cursor):
        raise _malformed(cursor)
    head_end = cursor.previous[2] if cursor.previous else start
    head = cursor.sql[start:head_end]
    if infile is None and cursor.accept(b"VALUES"):
        return replace(_values(cursor, head), settings_at=settings_at)
    if cursor.word == b"FORMAT":
        return replace(_format(cursor, head, infile=infile, final=final), settings_at=settings_at)
    if cursor.word in (b"SELECT", b"WITH", b"FROM") or cursor.sign == b"(":
        return _select(cursor, start, infile=infile, final=final)
    if infile is None:
        raise _malformed(cursor)
    return Insert(head, None, None, head_end, from_infile=infile)


def _malformed(cursor: Cursor) -> MalformedInsert:
    token = cursor.token
    return MalformedInsert(token[2] if token else len(cursor.sql))


def _target(cursor: Cursor) -> None:
    """The table or the table function."""
    cursor.accept(b"TABLE")
    if cursor.accept(b"FUNCTION"):
        if not cursor.at_name():
            raise _malformed(cursor)
        cursor.advance()
        if not (cursor.sign == b"(" and cursor.skip_group()):
            raise _malformed(cursor)
        if cursor.accept(b"PARTITION", b"BY"):
            _partition_key(cursor)
        return
    _name(cursor)
    if cursor.accept_sign(b"."):
        _name(cursor)


def _name(cursor: Cursor) -> None:
    if cursor.sign == b"{" and cursor.skip_group():  # {table:Identifier}
        return
    if not cursor.at_name():
        raise _malformed(cursor)
    cursor.advance()


def _partition_key(cursor: Cursor) -> None:
    """Step over the expression: up to a bracket or word that can only follow a complete one."""
    follows = (b"SETTINGS", b"VALUES", b"FORMAT", b"SELECT", b"WITH", b"FROM")
    while cursor.token is not None and cursor.sign != b";":
        complete = ends_expression(cursor.sql, cursor.previous, cursor.earlier)
        if complete and cursor.word in follows:
            return
        if cursor.sign in (b"(", b"[", b"{"):
            after_name = cursor.previous is not None and cursor.previous[0] == WORD
            if complete and not after_name and cursor.sign == b"(":
                return  # the column list
            if not cursor.skip_group():
                raise _malformed(cursor)
        else:
            cursor.advance()


def _columns_and_infile(cursor: Cursor) -> bytes | None:
    if cursor.sign == b"(" and not _opens_select(cursor) and not cursor.skip_group():
        raise _malformed(cursor)
    if cursor.word != b"FROM" or not _ahead(cursor).accept(b"FROM", b"INFILE"):
        return None
    cursor.accept(b"FROM", b"INFILE")
    if not cursor.at_string():
        raise _malformed(cursor)
    path = string_value(cursor.sql, cursor.advance())
    if cursor.accept(b"COMPRESSION"):
        if not cursor.at_string():
            raise _malformed(cursor)
        cursor.advance()
    return path


def _ahead(cursor: Cursor) -> Cursor:
    """A second cursor at the same place, to look ahead with."""
    return Cursor(cursor.sql, cursor.start, final=cursor.final)


def _opens_select(cursor: Cursor) -> bool:
    """Whether the bracket here opens a subquery, not a list of columns."""
    look = _ahead(cursor)
    while look.accept_sign(b"("):
        pass
    return look.word in (b"SELECT", b"WITH", b"FROM")


def _settings(cursor: Cursor) -> bool:
    """Step over ``name = value, …``; false when it is no such list."""
    while True:
        if not cursor.at_name():
            return False
        cursor.advance()
        while cursor.accept_sign(b"."):
            cursor.advance()
        if cursor.accept_sign(b"=") and not _setting_value(cursor):
            return False
        if not cursor.accept_sign(b","):
            return True


def _setting_value(cursor: Cursor) -> bool:
    while cursor.sign in (b"-", b"+"):
        cursor.advance()
    if cursor.sign in (b"(", b"[", b"{"):
        return cursor.skip_group()
    if cursor.token is None or cursor.token[0] == PUNCT:
        return False
    is_word = cursor.token[0] == WORD
    cursor.advance()
    return cursor.skip_group() if is_word and cursor.sign == b"(" and not _opens_select(cursor) else True


def _values(cursor: Cursor, head: bytes) -> Insert:
    """Data begins at the first token after VALUES, so that comments between are not data; a lone ``;`` is none."""
    sql_end = cursor.previous[2] if cursor.previous else 0
    data = len(cursor.sql) if cursor.sign == b";" else cursor.start
    return Insert(head, "Values", data, sql_end)


def _format(cursor: Cursor, head: bytes, *, infile: bytes | None, final: bool) -> Insert:
    cursor.advance()
    if not cursor.at_name():
        raise _malformed(cursor)
    name = cursor.advance()
    text = identifier_text(cursor.sql, name).decode("utf-8", "replace")
    if infile is not None:
        return Insert(head, text, None, name[2], from_infile=infile)
    return Insert(head, text, _data_start(cursor.sql, name[2], final=final), name[2])


def _data_start(sql: bytes, pos: int, *, final: bool) -> int:
    """Data begins after blanks and one line end behind the name of the format."""
    if sql[pos : pos + 1] == b";":
        raise MalformedInsert(pos + 1)
    gap = _DATA_GAP.match(sql, pos)
    assert gap is not None  # every part of it is optional
    if not final and gap.end() == len(sql) and not gap.group(1).endswith(b"\n"):
        raise NeedMore
    return gap.end()


def _select(cursor: Cursor, start: int, *, infile: bytes | None, final: bool) -> Insert:
    """Data follows INSERT … SELECT only behind a FORMAT, and only when the SELECT calls ``input``."""
    calls: list[tuple[int, int]] = []
    depth, sql = 0, cursor.sql
    while cursor.token is not None and cursor.sign != b";":
        before = cursor.start
        if call := _input_call(cursor):
            calls.append(call)
        elif cursor.start != before:
            continue  # it has stepped over what looked like one, perhaps up to the end
        elif depth == 0 and cursor.word == b"FORMAT" and ends_expression(sql, cursor.previous, cursor.earlier):
            head_end = cursor.previous[2] if cursor.previous else start
            cursor.advance()
            if cursor.at_name() and calls:
                name = cursor.advance()
                data = _data_start(sql, name[2], final=final)
                text = identifier_text(sql, name).decode("utf-8", "replace")
                return Insert(sql[start:head_end], text, data, name[2], has_select=True, input_calls=tuple(calls))
        else:
            depth += _DEPTH.get(cursor.sign, 0)
            cursor.advance()
    end = cursor.previous[2] if cursor.previous else start
    return Insert(sql[start:end], None, None, end, has_select=True, input_calls=tuple(calls), from_infile=infile)


def _input_call(cursor: Cursor) -> tuple[int, int] | None:
    """Step over ``input(…)`` and return its span; ``None`` when it is something else."""
    if not cursor.at_name() or identifier_text(cursor.sql, cursor.token or (0, 0, 0)) != b"input":
        return None
    if cursor.previous and cursor.text(cursor.previous) == b".":
        return None
    begin = cursor.advance()[1]
    if cursor.sign == b"(" and cursor.skip_group() and cursor.previous:
        return begin, cursor.previous[2]
    return None
