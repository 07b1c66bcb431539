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
    for _ in range(1500):
        inside = bytes(random_.choice(b"ab\\\\''nNtr0bfve/=`\"\t\x01q\xff;") for _ in range(random_.randrange(9)))
        literals.append(b"'" + inside + b"'")
    checked = 0
    for literal in literals:
        answer = engine.query(b"SELECT " + literal, "RawBLOB")
        found = list(tokens(literal))
        if isinstance(answer, bytes) and len(found) == 1:
            assert string_value(literal, found[0]) == answer, literal
            checked += 1
    assert checked > 250


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
BATCH = 50
#: A seed makes a whole batch of cases: drawing each of them would cost many times what it takes to check it.
SEEDS = st.integers(0, 2**60).map(random.Random)


def spiced(chance: random.Random) -> bytes:
    return b"".join(chance.choices(SPICE, k=chance.randrange(26)))


@settings(max_examples=60, deadline=None)
@given(chance=SEEDS)
def test_tokens_cover_the_text_in_order_and_nothing_is_raised(chance: random.Random) -> None:
    for _ in range(BATCH):
        sql, end = spiced(chance), 0
        for _, start, stop in tokens(sql):
            assert end <= start < stop <= len(sql), sql
            end = stop


@settings(max_examples=60, deadline=None)
@given(chance=SEEDS)
def test_a_prefix_never_gives_a_token_that_the_whole_does_not_have(chance: random.Random) -> None:
    for _ in range(BATCH):
        sql, cut = spiced(chance), chance.randrange(61)
        whole = list(tokens(sql))
        seen: list[Token] = []
        with pytest.raises(NeedMore):
            seen.extend(tokens(sql[:cut], final=False))
        assert seen == whole[: len(seen)], (sql, cut)


LITERALS = [
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
BLANKS = [
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


def blank(chance: random.Random) -> bytes:
    return chance.choice(BLANKS)


def select(chance: random.Random) -> bytes:
    parts = (blank(chance) + chance.choice(LITERALS) + blank(chance) for _ in range(chance.randrange(1, 6)))
    return b"SELECT" + blank(chance) + b",".join(parts)


def pieces(sql: bytes) -> int:
    """Statements that our tokens make: runs of tokens between semicolons."""
    count, inside = 0, False
    for kind, start, end in tokens(sql):
        ends = kind == PUNCT and sql[start:end] == b";"
        count += not ends and not inside
        inside = not ends
    return count


@settings(max_examples=60, deadline=None)
@given(chance=SEEDS)
def test_the_engine_sees_as_many_statements_as_we(engine: EngineChild, chance: random.Random) -> None:
    """A lexer that ended a string or comment elsewhere would count other semicolons."""
    cases: list[tuple[bytes, int]] = []
    for _ in range(BATCH):
        count = chance.randrange(1, 4)
        selects = (select(chance) for _ in range(count))
        cases.append(((blank(chance) + b";" + blank(chance)).join(selects) + blank(chance), count))
    seen = engine.statements([sql for sql, _ in cases])
    for (sql, count), found in zip(cases, seen, strict=True):
        assert pieces(sql) == count, sql
        assert found == count, (sql, engine.query(sql))


@settings(max_examples=60, deadline=None)
@given(chance=SEEDS)
def test_whatever_the_engine_can_parse_it_parses_into_our_statements(
    engine: EngineChild, chance: random.Random
) -> None:
    cases = [b"SELECT 1 " + spiced(chance) + b" ; SELECT 2 " + spiced(chance) for _ in range(BATCH)]
    for sql, found in zip(cases, engine.statements(cases), strict=True):
        assert found in (0, pieces(sql)), lexed(sql)


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
