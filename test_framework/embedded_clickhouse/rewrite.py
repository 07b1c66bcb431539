"""Changes to the text of a statement, made at tokens, so that strings and comments stay what they are."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from test_framework.embedded_clickhouse.cursor import Cursor
from test_framework.embedded_clickhouse.lexer import QUOTED, STRING, WORD, Token, identifier_text, string_value
from test_framework.embedded_clickhouse.remembering import remembering
from test_framework.embedded_clickhouse.statement import Statement

__all__ = [
    "as_client",
    "input_to_file",
    "insert_from_file",
    "quoted",
    "rewrite_query_ids",
    "rewrite_texts",
    "with_outfile",
    "without_client",
]

_USER = frozenset(b"currentuser user current_user session_user authenticateduser authuser".split())
_QUERY_ID = frozenset(b"queryid query_id initialqueryid initial_query_id currentqueryid".split())
#: Without one of these a statement asks neither who nor which query it is.
_ASKS = re.compile(rb"(?i)user|query_?id")
_BEFORE_TABLE = frozenset(b". FROM JOIN INTO TABLE FUNCTION".split())
#: What ``as_client`` puts in, in texts of the engine.
_PUT_IN = re.compile(r"\('(?:[^'\\]|\\.)*'(?: AS `(\w+\(\))`\)|\) AS `(\w+\(\))`)")


class _Edit(NamedTuple):
    start: int
    end: int
    text: bytes


def quoted(value: bytes) -> bytes:
    """``value`` as a string literal."""
    return b"'" + value.replace(b"\\", b"\\\\").replace(b"'", b"\\'") + b"'"


def _apply(sql: bytes, edits: list[_Edit]) -> bytes:
    parts, pos = [], 0
    for edit in edits:
        parts += [sql[pos : edit.start], edit.text]
        pos = edit.end
    return b"".join([*parts, sql[pos:]])


def rewrite_query_ids(sql: bytes, mapping: Callable[[str], str], *, marker: bytes) -> bytes:
    """Turn conditions on ``query_id`` into conditions on the marks that the endpoint gives its queries.

    ``query_id = 'x'`` (also ``!=``, ``IN (…)``, ``NOT IN (…)``, and the sides exchanged) becomes
    ``<marker> = '<mapping(x)>'``. LIKE and anything that is not a literal stay as they are.

    Args:
        sql: a KILL QUERY or a SELECT from ``system.processes``.
        mapping: from the client's query id to the marker.
        marker: expression for the marker of a query.
    """
    if b"query_id" not in sql:
        return sql
    edits: list[_Edit] = []
    cursor = Cursor(sql)
    before: list[Token] = []
    while cursor.token is not None:
        if cursor.at_name() and identifier_text(sql, cursor.token) == b"query_id":
            name = cursor.advance()
            values = _values_after(cursor) or _value_before(sql, before)
            if values:
                edits.append(_Edit(name[1], name[2], marker))
                edits += [_Edit(v[1], v[2], _mapped(sql, v, mapping)) for v in values]
            before = []
            continue
        before = [*before[-1:], cursor.advance()]
    return _apply(sql, sorted(edits))


def rewrite_texts(sql: bytes, *, query: bytes) -> bytes:
    """A KILL QUERY with ``query`` in the place of the column of that name."""
    edits: list[_Edit] = []
    cursor = Cursor(sql)
    while cursor.token is not None:
        before = cursor.text(cursor.previous).upper()
        name = cursor.advance()
        if name[0] in (WORD, QUOTED) and identifier_text(sql, name) == b"query" and before not in (b"KILL", b"."):
            edits.append(_Edit(name[1], name[2], query))
    return _apply(sql, edits)


def as_client(sql: bytes, *, user: str, query_id: str) -> bytes:
    """``sql`` with ``currentUser()`` and ``queryID()``, under all their names, answering for the client.

    The engine runs everything as one user and under ids of its own. A call becomes ``('tester' AS `currentUser()`)``,
    which leaves the names of columns as they were. For SELECT alone: what is created would keep the name for ever.
    """
    if not _ASKS.search(sql) or not (calls := _calls_for_client(sql)):
        return sql
    edits = []
    for start, end, name in calls:
        value = quoted((user if name.lower() in _USER else query_id).encode("utf-8", "surrogateescape"))
        edits.append(_Edit(start, end, b"(" + value + b" AS `" + name + b"()`)"))
    return _apply(sql, edits)


@remembering
def _calls_for_client(sql: bytes) -> Sequence[tuple[int, int, bytes]]:
    """Start, end and name of each call that asks who the client is, or under which id it asks."""
    calls = []
    cursor = Cursor(sql)
    while cursor.token is not None:
        before = cursor.text(cursor.previous).upper()
        name = cursor.advance()
        lower = cursor.text(name).lower() if name[0] == WORD else b""
        if (lower not in _USER and lower not in _QUERY_ID) or before in _BEFORE_TABLE:
            continue
        if cursor.accept_sign(b"(") and cursor.sign == b")":
            calls.append((name[1], cursor.advance()[2], cursor.text(name)))
    return calls


def without_client(text: str) -> str:
    """A text of the engine that quotes a statement, with what ``as_client`` put in taken out again."""
    return _PUT_IN.sub(lambda found: found.group(1) or found.group(2), text) if "()`" in text else text


def _mapped(sql: bytes, literal: Token, mapping: Callable[[str], str]) -> bytes:
    value = string_value(sql, literal).decode("utf-8", "surrogateescape")
    return quoted(mapping(value).encode("utf-8", "surrogateescape"))


def _values_after(cursor: Cursor) -> list[Token]:
    """The string literals that ``query_id`` is compared to; the cursor ends up behind what was looked at."""
    if cursor.sign in (b"=", b"!", b"<"):
        first = cursor.advance()
        if cursor.sign in (b"=", b">") and cursor.start == first[2]:
            cursor.advance()
        elif cursor.text(first) != b"=":
            return []
        return [cursor.advance()] if cursor.at_string() else []
    cursor.accept(b"GLOBAL")
    cursor.accept(b"NOT")
    return _list(cursor) if cursor.accept(b"IN") else []


def _list(cursor: Cursor) -> list[Token]:
    bracketed = cursor.accept_sign(b"(") or cursor.accept_sign(b"[")
    values = []
    while cursor.at_string():
        values.append(cursor.advance())
        if not bracketed or not cursor.accept_sign(b","):
            break
    return values if not bracketed or cursor.sign in (b")", b"]") else []


def _value_before(sql: bytes, before: list[Token]) -> list[Token]:
    """The literal in ``'x' = query_id``."""
    if len(before) == 2 and before[0][0] == STRING and sql[before[1][1] : before[1][2]] == b"=":
        return [before[0]]
    return []


def with_outfile(statement: Statement, path: str) -> bytes:
    """The statement writing its result to ``path`` (an existing pipe or file), before its FORMAT.

    Only for statements with output but EXPLAIN, and without INTO OUTFILE of their own.
    """
    clause = b"INTO OUTFILE " + quoted(path.encode()) + b" APPEND"
    source = statement.source
    if statement.format_span is None:
        return statement.text + b"\n" + clause
    at = statement.format_span[0]
    return source[statement.start : at] + clause + b" " + source[at : statement.end]


def insert_from_file(statement: Statement, path: str, format: str) -> bytes:
    """INSERT with data reading its data from ``path`` instead; for statements without SELECT."""
    insert = statement.insert
    assert insert is not None and not insert.has_select, "the statement takes no data of its own"
    cut = len(insert.head) if insert.settings_at is None else insert.settings_at
    parts = [
        insert.head[:cut],
        b"FROM INFILE " + quoted(path.encode()),
        insert.head[cut:],
        b"FORMAT " + format.encode(),
    ]
    return b" ".join(part for part in parts if part)


def input_to_file(statement: Statement, path: str, format: str) -> bytes:
    """INSERT … SELECT … FROM input(structure) reading its data from ``path`` instead; for statements that use it."""
    insert = statement.insert
    assert insert is not None and insert.input_calls, "the statement does not call input()"
    source, edits = statement.source, []
    arguments = quoted(path.encode()) + b", " + quoted(format.encode())
    for start, end in insert.input_calls:
        opening = source.index(b"(", start)
        inside = source[opening + 1 : end - 1]
        comma = b", " if Cursor(inside).token is not None else b""
        edits.append(_Edit(start, end, b"file(" + arguments + comma + inside + b")"))
    text = _apply(source[: statement.start + len(insert.head)], edits)
    return text[statement.start :]
