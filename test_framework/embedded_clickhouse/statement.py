"""What a request's text is: one statement, its clauses, and where it ends; for an INSERT, where its data begins.

Everything here works on offsets into the bytes as they came. The data of an INSERT is never looked at.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from enum import Enum

from test_framework.embedded_clickhouse.cursor import Cursor, ends_expression
from test_framework.embedded_clickhouse.insert_head import Insert, MalformedInsert, parse_insert
from test_framework.embedded_clickhouse.lexer import PUNCT, WORD, NeedMore, Token, identifier_text

__all__ = ["Insert", "Kind", "NeedMore", "Statement", "StatementReader", "split_statement"]


class Kind(Enum):
    """What a statement is to the endpoint."""

    EMPTY = "empty"  #: nothing but white space and comments
    INSERT = "insert"  #: see ``Statement.insert``
    OUTPUT = "output"  #: gives rows: SELECT, SHOW, DESCRIBE, EXISTS, EXPLAIN, CHECK, KILL …
    COMMAND = "command"  #: gives none: DDL, SET, USE, SYSTEM …
    BROKEN = "broken"  #: an INSERT whose head the engine refuses; ``text`` shows it the place without the data


_OUTPUT_VERBS = frozenset(
    {"SELECT", "WITH", "FROM", "(", "SHOW", "DESCRIBE", "DESC", "EXISTS", "EXPLAIN", "CHECK", "KILL", "WATCH", "BACKUP"}
    | {"RESTORE", "EXECUTE"}
)
_DEPTH = {**dict.fromkeys(b"([{", 1), **dict.fromkeys(b")]}", -1)}
_SEMICOLON = ord(";")
_KEYWORDS = frozenset({b"INSERT", b"FORMAT", b"SETTINGS", b"INTO"})
_LENGTHS = frozenset(map(len, _KEYWORDS))


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement inside ``source``. All offsets count from the start of ``source``."""

    kind: Kind
    #: First word in upper case (``(`` for a bracketed SELECT); empty for an empty text.
    verb: str
    source: bytes
    start: int
    #: Offset after the last token of the statement: no ``;``, no data.
    end: int
    #: Name in the FORMAT clause, of the output or, for an INSERT, of the data.
    format: str | None = None
    #: Span of the FORMAT clause.
    format_span: tuple[int, int] | None = None
    #: Offset of the word SETTINGS, where that clause stands outside all brackets.
    settings_start: int | None = None
    into_outfile: bool = False
    #: Offset of what follows ``;`` and is neither white space nor comment: a second statement.
    second: int | None = None
    insert: Insert | None = None

    @property
    def text(self) -> bytes:
        """The statement alone, without data and without a second one: safe for the engine's script interface."""
        return self.source[self.start : self.end]

    def without_format(self) -> bytes:
        """``text`` without its FORMAT clause."""
        if self.format_span is None:
            return self.text
        start, end = (offset - self.start for offset in self.format_span)
        return self.text[:start] + self.text[end:]

    @property
    def has_output(self) -> bool:
        return self.kind is Kind.OUTPUT


def split_statement(sql: bytes, *, final: bool = True) -> Statement:
    """Find the statement in ``sql`` and its clauses.

    Args:
        sql: the text, or with ``final=False`` the part of it that has arrived.
        final: whether nothing follows.

    Raises:
        NeedMore: with ``final=False``, while the kind is open or the head of an INSERT is not complete. Any other
            statement needs its whole text.
    """
    cursor = Cursor(sql, final=final)
    if cursor.token is None or cursor.sign == b";":
        return _empty(cursor)
    start = cursor.start
    verb = (cursor.word or cursor.sign).decode("ascii", "replace")
    scan = _Scan(cursor, start, verb)
    try:
        scan.run()
        if scan.at_insert:
            insert = parse_insert(cursor, start if verb == "WITH" else cursor.start, final=final)
            return scan.around(insert)
        return scan.query()
    except MalformedInsert as bad:
        return Statement(Kind.BROKEN, verb, sql, start, bad.end)


def _empty(cursor: Cursor) -> Statement:
    end = cursor.start
    return Statement(Kind.EMPTY, "", cursor.sql, end, end, second=_second(cursor))


def _second(cursor: Cursor) -> int | None:
    """Offset of a further statement behind the ``;`` here."""
    while cursor.accept_sign(b";"):
        pass
    return cursor.start if cursor.token is not None else None


class _Scan:
    """Walks a statement once and notes its clauses; stops at INSERT INTO, at ``;`` or at the end."""

    def __init__(self, cursor: Cursor, start: int, verb: str) -> None:
        self.cursor, self.start, self.verb = cursor, start, verb
        self.at_insert = False
        self.format: tuple[Token, Token] | None = None
        self.settings_start: int | None = None
        self.into_outfile = False
        self._depth = 0

    def run(self) -> None:
        """Looks at each token as little as it can: this is where the time of a long statement goes."""
        cursor, sql = self.cursor, self.cursor.sql
        while (token := cursor.token) is not None:
            kind, start, end = token
            if kind == PUNCT:
                sign = sql[start]
                if sign == _SEMICOLON:
                    return
                self._depth += _DEPTH.get(sign, 0)
            elif kind == WORD and end - start in _LENGTHS and (word := sql[start:end].upper()) in _KEYWORDS:
                self._keyword(word)
                if self.at_insert:
                    return
                continue
            if self.format is not None:
                self._doubt_format(token)
            cursor.advance()

    def _doubt_format(self, token: Token) -> None:
        """A FORMAT with more behind it than SETTINGS was a name."""
        assert self.format is not None
        follows = self.cursor.text(token).upper() == b"PARALLEL"
        if not follows and (self.settings_start or 0) < self.format[0][1]:
            self.format = None

    def _keyword(self, word: bytes) -> None:
        cursor = self.cursor
        complete = self._depth == 0 and ends_expression(cursor.sql, cursor.previous, cursor.earlier)
        if word == b"INSERT" and self._depth == 0 and self._insert_follows():
            self.at_insert = True
            return
        token = cursor.advance()
        if word == b"FORMAT" and complete and cursor.at_name():
            self.format = token, cursor.advance()
        elif word == b"SETTINGS" and complete and cursor.at_name():
            self.settings_start = token[1]
        elif word == b"INTO" and cursor.word == b"OUTFILE":
            self.into_outfile = True

    def _insert_follows(self) -> bool:
        """Whether INTO comes after the INSERT here: INSERT alone can be a name."""
        if self.cursor.previous is None:
            return True
        look = Cursor(self.cursor.sql, self.cursor.start, final=self.cursor.final)
        return look.accept(b"INSERT", b"INTO")

    def query(self) -> Statement:
        cursor = self.cursor
        end = cursor.previous[2] if cursor.previous else self.start
        name = self.format[1] if self.format else None
        return Statement(
            Kind.OUTPUT if self.verb in _OUTPUT_VERBS else Kind.COMMAND,
            self.verb,
            cursor.sql,
            self.start,
            end,
            format=identifier_text(cursor.sql, name).decode("utf-8", "replace") if name else None,
            format_span=(self.format[0][1], self.format[1][2]) if self.format else None,
            settings_start=self.settings_start,
            into_outfile=self.into_outfile,
            second=_second(cursor),
        )

    def around(self, insert: Insert) -> Statement:
        """The statement that holds ``insert``: the INSERT itself, or EXPLAIN and the like, which get no data."""
        cursor = self.cursor
        plain = self.verb in ("INSERT", "WITH")
        return Statement(
            Kind.INSERT if plain else Kind.OUTPUT,
            self.verb,
            cursor.sql,
            self.start,
            insert.sql_end,
            format=insert.format if plain else None,
            second=_second(cursor) if insert.data_offset is None else None,
            insert=insert if plain else None,
        )


class StatementReader:
    """Splits a text that arrives in pieces, in time linear in its length.

    ``feed`` returns the statement as soon as it is known, ``finish`` at the end of the text; after either, ``data`` is
    what has arrived of the data of an INSERT.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._next_try = 1
        self._wait_for_end = False

    def __len__(self) -> int:
        """Bytes held."""
        return len(self._buffer)

    def feed(self, piece: bytes) -> Statement | None:
        """Add ``piece``; the statement when it is an INSERT with data whose head is complete, else ``None``."""
        self._buffer += piece
        if self._wait_for_end or len(self._buffer) < self._next_try:
            return None
        text = bytes(self._buffer)
        try:
            self._wait_for_end = _never_streams(text)
            return None if self._wait_for_end else split_statement(text, final=False)
        except NeedMore:
            # Trying again only at twice the length keeps the sum of all tries linear.
            self._next_try = 2 * len(text) if len(text) > _SMALL else len(text) + 1
            return None

    def finish(self) -> Statement:
        """The statement, now that the text is complete."""
        if len(self._buffer) <= _SMALL:
            return _split_again(bytes(self._buffer))
        return split_statement(bytes(self._buffer))


@functools.lru_cache(maxsize=512)
def _split_again(sql: bytes) -> Statement:
    """Programs send the same few statements again and again."""
    return split_statement(sql)


_SMALL = 4096
_PLAIN_START = re.compile(rb"\s*([A-Za-z]+)[ \n(]")


def _never_streams(text: bytes) -> bool:
    """Whether the first word already says that no data can follow."""
    plain = _PLAIN_START.match(text)
    word = plain.group(1).upper() if plain else Cursor(text, final=False).word
    return word not in (b"INSERT", b"WITH", b"EXPLAIN")
