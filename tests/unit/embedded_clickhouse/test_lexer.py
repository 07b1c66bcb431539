"""Tokens, held against what the engine itself makes of the same bytes."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from test_framework.embedded_clickhouse.lexer import (
    ERROR,
    HEREDOC,
    NUMBER,
    PUNCT,
    QUOTED,
    STRING,
    WORD,
    NeedMore,
    Token,
    identifier_text,
    string_value,
    tokens,
)
from tests.unit.embedded_clickhouse.engine_child import EngineChild

NAMES = {WORD: "w", QUOTED: "q", STRING: "s", HEREDOC: "h", NUMBER: "n", PUNCT: "p", ERROR: "e"}


def lexed(sql: bytes) -> list[tuple[str, bytes]]:
    return [(NAMES[kind], sql[start:end]) for kind, start, end in tokens(sql)]


@pytest.mark.parametrize(
    "sql",
    [
        b"a -- 'x\n b",
        b"a # 'x\n b",
        b"a #! 'x\n b",
        b"a // 'x\n b",
        b"a /* ' */ b",
        b"a /* /* ' */ */ b",
        b"a \xc2\xa0\xe2\x80\x8b\xef\xbb\xbf b",
        b"a\x0b\x0c\r\nb",
    ],
)
def test_comments_and_spaces_of_all_kinds_are_left_out(sql: bytes) -> None:
    assert lexed(sql) == [("w", b"a"), ("w", b"b")]


@pytest.mark.parametrize(
    ("sql", "kinds"),
    [
        (b"'a''b'", "s"),
        (b"'a\\'b'", "s"),
        (b"'a\\\\'b", "sw"),
        (b"'a'''", "s"),
        (b"x'4f' b'01'", "ss"),
        (b"ax'4f'", "ws"),
        (b"\xe2\x80\x98it's\xe2\x80\x99 \xe2\x80\x9ca b\xe2\x80\x9d", "sq"),
        (b'"a""b" `c``d`', "qq"),
        (b"$$ ' $$", "h"),
        (b"$a$ ' $b$ $a$", "h"),
        (b"$a$ b", "ww"),
        (b"$a b$", "ww"),
        (b"$ $x", "ww"),
        (b"1 1.5 1e5 1.5e-5 0x1F 0b11 1_000 0x1.8p3 + .5", "n" * 8 + "pn"),
        (b"1 .5", "npn"),
        (b"1a 0b2 0xg 1_a", "wwww"),
        (b"x.1.2", "wpnpn"),
        (b"t.1e--;", "wpw"),
        (b"f(1).5", "wpnppn"),
        (b"#a", "pw"),
        (b"a-b", "wpw"),
        (b"\\G", "pw"),
        (b"'abc", "e"),
        (b"/* abc", "e"),
        (b"/* /* */ abc", "e"),
        (b'"abc', "e"),
        (b"x'4", "e"),
        (b"\xff", "e"),
        (b"\xe2\x80\x98abc", "e"),
    ],
)
def test_kinds(sql: bytes, kinds: str) -> None:
    assert "".join(kind for kind, _ in lexed(sql)) == kinds


def test_the_value_of_every_string_is_the_engines(engine: EngineChild) -> None:
    random_ = random.Random(11)
    literals = [b"x'4'", b"x'414'", b"x''", b"b'1'", b"b'101000001'", b"b''", b"$a$ '\\n' $a$", b"$$$$", b"'\\x41\\x0'"]
    for _ in range(3000):
        inside = bytes(random_.choice(b"ab\\\\''nNtr0bfve/=`\"\t\x01q\xff;") for _ in range(random_.randrange(9)))
        literals.append(b"'" + inside + b"'")
    checked = 0
    for literal in literals:
        answer = engine.query(b"SELECT " + literal, "RawBLOB")
        found = list(tokens(literal))
        if isinstance(answer, bytes) and len(found) == 1:
            assert string_value(literal, found[0]) == answer, literal
            checked += 1
    assert checked > 500


@pytest.mark.parametrize(
    ("sql", "name"),
    [(b"abc", b"abc"), (b'"a""b"', b'a"b'), (b"`a\\`b`", b"a`b"), (b"\xe2\x80\x9ca b\xe2\x80\x9d", b"a b")],
)
def test_the_name_in_an_identifier(sql: bytes, name: bytes) -> None:
    [token] = tokens(sql)
    assert identifier_text(sql, token) == name


SPICE = [
    *(
        b"'",
        b'"',
        b"`",
        b"\\",
        b"''",
        b"--",
        b"\n",
        b"/*",
        b"*/",
        b"//",
        b"# ",
        b"#",
        b"$a$",
        b"$$",
        b"$",
        b";",
        b"x'4",
        b"b'",
    ),
    *(
        b"(",
        b")",
        b"a",
        b"1",
        b"1.",
        b".",
        b"e-",
        b"0x",
        b" ",
        b"\xe2\x80\x98",
        b"\xe2\x80\x99",
        b"\xe2\x80\x9c",
        b"\xe2\x80\x9d",
    ),
    *(b"\xe2", b"\xff", b"\xc2\xa0", b"\x00", b"\r", b"select", b"1 "),
]
SPICED = st.lists(st.sampled_from(SPICE), max_size=25).map(b"".join)


@settings(max_examples=3000, deadline=None)
@given(sql=SPICED)
def test_tokens_cover_the_text_in_order_and_nothing_is_raised(sql: bytes) -> None:
    end = 0
    for _, start, stop in tokens(sql):
        assert end <= start < stop <= len(sql)
        end = stop


@settings(max_examples=2000, deadline=None)
@given(sql=SPICED, cut=st.integers(0, 60))
def test_a_prefix_never_gives_a_token_that_the_whole_does_not_have(sql: bytes, cut: int) -> None:
    whole = list(tokens(sql))
    seen: list[Token] = []
    with pytest.raises(NeedMore):
        seen.extend(tokens(sql[:cut], final=False))
    assert seen == whole[: len(seen)]


LITERAL = st.sampled_from(
    [
        *(
            b"1",
            b"1.5e-3",
            b"0x1F",
            b"'a'",
            b"'a;b'",
            b"'it''s; 1'",
            b"'\\';'",
            b"'--'",
            b"'/*'",
            b"x'41'",
            b"$a$;'$a$",
            b"$$;$$",
        ),
        *(
            b"[1,2]",
            b"(1,2)",
            b"map('a;', 1)",
            b"\xe2\x80\x98;\xe2\x80\x99",
            b"1a.b",
            b'"a;b"',
            b"`a;``b`",
            b"`;`.1.2",
            b"a.1",
        ),
    ]
)
BLANK = st.sampled_from(
    [
        b" ",
        b"\n",
        b"\t\r\n",
        b" /* ; */ ",
        b" /* /* ; */ ' */ ",
        b" -- ; '\n",
        b" // ;\n",
        b" # ;\n",
        b"\xc2\xa0",
        b" #! ;\n",
    ]
)
SELECT = st.builds(
    lambda blank, parts: b"SELECT" + blank + b",".join(blank + literal + after for literal, after in parts),
    BLANK,
    st.lists(st.tuples(LITERAL, BLANK), min_size=1, max_size=5),
)


def pieces(sql: bytes) -> int:
    """Statements that our tokens make: runs of tokens between semicolons."""
    count, inside = 0, False
    for kind, start, end in tokens(sql):
        ends = kind == PUNCT and sql[start:end] == b";"
        count += not ends and not inside
        inside = not ends
    return count


@settings(max_examples=2200, deadline=None)
@given(selects=st.lists(SELECT, min_size=1, max_size=3), blank=BLANK)
def test_the_engine_sees_as_many_statements_as_we(engine: EngineChild, selects: list[bytes], blank: bytes) -> None:
    """A lexer that ended a string or comment elsewhere would count other semicolons."""
    sql = (blank + b";" + blank).join(selects) + blank
    assert pieces(sql) == len(selects)
    assert engine.statements(sql) == len(selects), engine.query(sql)


@settings(max_examples=2200, deadline=None)
@given(before=SPICED, after=SPICED)
def test_whatever_the_engine_can_parse_it_parses_into_our_statements(
    engine: EngineChild, before: bytes, after: bytes
) -> None:
    sql = b"SELECT 1 " + before + b" ; SELECT 2 " + after
    assert engine.statements(sql) in (0, pieces(sql)), lexed(sql)


@pytest.mark.parametrize(
    "unit",
    [b"''", b"\\\\", b"$a$", b"/*", b"*/", b"\xff", b"\xe2\x80\x98", b" \n", b"--\n", b"(", b"1,", b"- ", b"'", b"1a."],
)
def test_the_time_is_linear_in_the_length(unit: bytes) -> None:
    """Counts steps of the interpreter, not seconds: ten times the text may cost eleven times the steps, not hundred."""
    small, large = (sum(1 for _ in tokens(b"'" + unit * n)) for n in (2_000, 20_000))
    assert large <= 11 * small + 10
    distinct = b"".join(b"$t%d$ " % number for number in range(20_000))
    assert sum(1 for _ in tokens(distinct)) == 20_000
