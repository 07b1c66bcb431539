"""Cutting PostgreSQL scripts into statements."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from test_framework.errors import SeedError
from test_framework.services.postgres.statements import names_in, statements

FILE = Path("01_x.sql")


def cut(text: str) -> list[tuple[int, str]]:
    return [(statement.line, statement.text) for statement in statements(text, FILE)]


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT ';'",
        "SELECT 'it''s; fine'",
        r"SELECT E'a\';b'",
        r"SELECT 'ends with a backslash\'",
        'SELECT ";" FROM "a;""b"',
        "SELECT $$;$$",
        "SELECT $tag$ ; $$ ; $other$ ; $tag$",
        "SELECT 1 /* ; /* nested ; */ ; */ + 1",
        "SELECT 1 -- ; not here\n + 1",
        "SELECT a$b$c, d$b$ FROM t",
        "CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2)",
        "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN 2 END; END",
        "create or replace procedure p() begin atomic insert into t values (1); end",
        "DO $$ BEGIN PERFORM 1; END $$",
        "SELECT U&'\\0041;'",
        "SELECT '\n;\n'",
    ],
)
def test_a_semicolon_inside_something_does_not_end_a_statement(statement: str) -> None:
    assert cut(f"{statement};\nSELECT 2;") == [(1, statement), (2 + statement.count("\n"), "SELECT 2")]


def test_begin_outside_a_routine_is_an_ordinary_word() -> None:
    assert cut("BEGIN; INSERT INTO t VALUES (1); END; SELECT 3") == [
        (1, "BEGIN"),
        (1, "INSERT INTO t VALUES (1)"),
        (1, "END"),
        (1, "SELECT 3"),
    ]


def test_comments_and_empty_statements_between_statements_vanish_and_lines_stay_right() -> None:
    text = "-- one\n\n/* two\n three */ SELECT 1;\n;;\n-- four\nSELECT\n 2\n;\n-- the end"
    assert cut(text) == [(4, "SELECT 1"), (7, "SELECT\n 2")]


def test_the_last_statement_needs_no_semicolon() -> None:
    assert cut("SELECT 1;SELECT 2") == [(1, "SELECT 1"), (1, "SELECT 2")]


@pytest.mark.parametrize("text", ["", "  \n", "-- nothing", "/* nothing */", ";", "\\restrict abc\n\\unrestrict abc\n"])
def test_a_script_without_statements_is_empty(text: str) -> None:
    assert cut(text) == []


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("SELECT 1;\nSELECT 'open;\nSELECT 2;", 2, "quote ' is never closed"),
        ('SELECT 1;\n\nSELECT "open', 3, 'quote " is never closed'),
        ("SELECT 1;\nDO $body$ BEGIN; END", 2, "quote $body$ is never closed"),
        ("SELECT 1; /* a /* b */\nSELECT 2", 1, "a comment /* is never closed"),
        ("SELECT 1;\n\\i other.sql\n", 2, "\\i is a command of psql"),
        ("SELECT 1\\gexec\n", 1, "\\gexec is a command of psql"),
        ("\nCOPY t FROM '/etc/passwd';", 2, "COPY"),
        ("COPY t FROM PROGRAM 'id';", 1, "COPY"),
        ("COPY t FROM stdin WITH (FORMAT csv);\n1\n\\.\n", 1, "COPY"),
        ("SELECT 1;\nCOPY t FROM stdin;\n1\n2\n", 2, "do not end with a line"),
    ],
)
def test_what_cannot_be_loaded_is_named_with_its_line(text: str, line: int, what: str) -> None:
    with pytest.raises(SeedError) as caught:
        cut(text)
    assert (caught.value.line, what in caught.value.what) == (line, True)


def test_copy_takes_the_rows_that_follow_it_and_nothing_more() -> None:
    text = 'SET x = 1;\nCOPY public."T" (id, "a;b") FROM stdin;\n1\tx;y\n2\t\\N\n\\.\n\nSELECT 1;'
    found = list(statements(text, FILE))
    assert [(each.line, each.data) for each in found] == [(1, None), (2, "1\tx;y\n2\t\\N\n"), (7, None)]


def test_names_are_folded_and_unquoted_as_the_server_does() -> None:
    assert names_in('Id, "Mixed Case", "a""b"') == ["id", "Mixed Case", 'a"b']


PIECES = st.lists(
    st.sampled_from(["SELECT 1", "SELECT ';'", "SELECT $$;\n$$", "SELECT /* ; */ 2", 'SELECT ";"', "SELECT\n\n3"]),
    max_size=8,
)


@given(PIECES)
def test_statements_put_together_come_apart_again_at_the_right_lines(pieces: list[str]) -> None:
    text, lines = "", []
    for piece in pieces:
        text += "\n"
        lines.append(text.count("\n") + 1)
        text += piece + ";"
    assert cut(text) == list(zip(lines, pieces, strict=True))


@given(st.text(alphabet="ab'\"$;/*-\\\n (E", max_size=40))
def test_no_text_makes_the_lexer_fail_otherwise_than_by_a_named_line(text: str) -> None:
    try:
        cut(text)
    except SeedError as error:
        assert error.line is not None and 1 <= error.line <= text.count("\n") + 1
