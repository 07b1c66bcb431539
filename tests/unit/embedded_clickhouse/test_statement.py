"""Where statements and their data begin and end. Data is never taken for SQL."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from test_framework.embedded_clickhouse.statement import Kind, NeedMore, Statement, StatementReader, split_statement
from tests.unit.embedded_clickhouse.engine_child import EngineChild


def data_of(sql: bytes) -> bytes | None:
    insert = split_statement(sql).insert
    assert insert is not None, sql
    return None if insert.data_offset is None else sql[insert.data_offset :]


@pytest.mark.parametrize(
    ("sql", "head", "format", "data"),
    [
        (b"INSERT INTO t FORMAT CSV\n1,2\n", b"INSERT INTO t", "CSV", b"1,2\n"),
        (b"insert into t(a,b)format\tCSV \t\r\n1,2", b"insert into t(a,b)", "CSV", b"1,2"),
        (b"INSERT INTO t FORMAT CSV\n\n1", b"INSERT INTO t", "CSV", b"\n1"),
        (b"INSERT INTO t FORMAT RowBinary\n\x00;SELECT 1", b"INSERT INTO t", "RowBinary", b"\x00;SELECT 1"),
        (b"INSERT INTO t FORMAT CSV ;1", b"INSERT INTO t", "CSV", b";1"),
        (b"INSERT INTO t FORMAT CSV", b"INSERT INTO t", "CSV", b""),
        (b"INSERT INTO t FORMAT JSONEachRow{}", b"INSERT INTO t", "JSONEachRow", b"{}"),
        (b"INSERT INTO t FORMAT `CSV`\n1", b"INSERT INTO t", "CSV", b"1"),
        (b"INSERT INTO t VALUES (1);", b"INSERT INTO t", "Values", b"(1);"),
        (b"INSERT INTO t VALUES(1)", b"INSERT INTO t", "Values", b"(1)"),
        (b"INSERT INTO t VALUES /* a */ -- b\n(1)", b"INSERT INTO t", "Values", b"(1)"),
        (b"INSERT INTO t VALUES", b"INSERT INTO t", "Values", b""),
        (b"INSERT INTO t VALUES ;", b"INSERT INTO t", "Values", b""),
        (b"INSERT INTO t FORMAT Values (1)", b"INSERT INTO t", "Values", b"(1)"),
        (b"INSERT INTO values VALUES (1)", b"INSERT INTO values", "Values", b"(1)"),
        (b"INSERT INTO format FORMAT CSV\n1", b"INSERT INTO format", "CSV", b"1"),
        (b"INSERT INTO TABLE d.t (a, `b)`) VALUES (1)", b"INSERT INTO TABLE d.t (a, `b)`)", "Values", b"(1)"),
        (b"-- c\n/* d */ INSERT INTO t VALUES (1)", b"INSERT INTO t", "Values", b"(1)"),
        (b"INSERT INTO t SETTINGS a=1, b='x;', c={'k':1} FORMAT CSV\n1", None, "CSV", b"1"),
        (b"INSERT INTO t SETTINGS a=-1.5 VALUES (1)", b"INSERT INTO t SETTINGS a=-1.5", "Values", b"(1)"),
        (b"INSERT INTO t (* EXCEPT(a)) VALUES (1)", b"INSERT INTO t (* EXCEPT(a))", "Values", b"(1)"),
        (b"INSERT INTO FUNCTION file('a;b', 'CSV') FORMAT CSV\n1", None, "CSV", b"1"),
        (b"INSERT INTO TABLE FUNCTION f(g(1)) PARTITION BY (a, b % 2) VALUES (1)", None, "Values", b"(1)"),
        (b"INSERT INTO FUNCTION f() PARTITION BY a (x, y) VALUES (1)", None, "Values", b"(1)"),
        (b"INSERT INTO {d:Identifier}.{t:Identifier} VALUES (1)", None, "Values", b"(1)"),
        (b"INSERT INTO t SELECT a FROM input('a Int8') FORMAT CSV\n1;", None, "CSV", b"1;"),
        (b"INSERT INTO t WITH 1 AS format SELECT format, a FROM input('a Int8') FORMAT CSV\n1", None, "CSV", b"1"),
        (
            b"WITH 1 AS x INSERT INTO t SELECT x, a FROM (SELECT * FROM input('a Int8')) FORMAT TSV\n1",
            None,
            "TSV",
            b"1",
        ),
    ],
)
def test_the_data_of_an_insert_begins_where_it_does_in_a_server(
    sql: bytes, head: bytes | None, format: str, data: bytes
) -> None:
    statement = split_statement(sql)
    assert statement.kind is Kind.INSERT
    assert statement.insert is not None
    assert (statement.insert.format, data_of(sql)) == (format, data)
    assert statement.second is None
    if head is not None:
        assert statement.insert.head == head


@pytest.mark.parametrize(
    "sql",
    [
        b"INSERT INTO t SELECT 1",
        b"INSERT INTO t (SELECT 1)",
        b"INSERT INTO t FROM x",
        b"INSERT INTO t FROM x SELECT a",
        b"INSERT INTO t (a) SETTINGS max_threads=1 (SELECT 1)",
        b"INSERT INTO t (a) WITH 1 AS x SELECT x",
        b"WITH 1 AS x INSERT INTO t SELECT x",
        b"INSERT INTO t SELECT 1 FORMAT CSV",
        b"INSERT INTO t SELECT input FROM x FORMAT CSV",
        b"INSERT INTO t SELECT 'input(1)' FORMAT CSV",
        b"INSERT INTO t FROM INFILE 'f' FORMAT CSV",
        b"INSERT INTO t FROM INFILE 'f' COMPRESSION 'gzip'",
    ],
)
def test_an_insert_without_data_of_its_own_is_all_sql(sql: bytes) -> None:
    statement = split_statement(sql)
    assert statement.kind is Kind.INSERT
    assert data_of(sql) is None
    assert statement.text == sql
    assert split_statement(sql + b"; SELECT 2").second == len(sql) + 2


def test_the_parts_of_special_inserts_are_told() -> None:
    infile = split_statement(b"INSERT INTO t FROM INFILE '/etc/x' COMPRESSION 'gzip' SETTINGS a=1 FORMAT CSV").insert
    assert infile is not None and infile.from_infile == b"/etc/x" and infile.format == "CSV"
    sql = b"INSERT INTO t SELECT * FROM input('a Int8') WHERE a FORMAT CSV\n1"
    insert = split_statement(sql).insert
    assert insert is not None and insert.has_select and insert.uses_input_function
    assert [sql[start:end] for start, end in insert.input_calls] == [b"input('a Int8')"]
    assert insert.head.endswith(b"WHERE a")


@pytest.mark.parametrize(
    "sql",
    [
        b"INSERT INTO",
        b"INSERT INTO (",
        b"INSERT INTO t",
        b"INSERT INTO t (a",
        b"INSERT INTO t DROP TABLE x",
        b"INSERT INTO t FORMAT CSV;\n1,2",
        b"INSERT INTO t FORMAT\n1",
        b"INSERT INTO t FORMAT 'CSV'\n1",
        b"INSERT INTO t SETTINGS FORMAT CSV",
        b"INSERT INTO t SETTINGS a= VALUES",
        b"INSERT INTO t FROM INFILE x",
        b"INSERT INTO FUNCTION f VALUES (1)",
        b"INSERT t VALUES (1)",
        b"INSERT INTO t; DROP TABLE x",
    ],
)
def test_a_head_that_the_engine_refuses_is_broken_and_its_text_is_refused_by_the_engine(
    engine: EngineChild, sql: bytes
) -> None:
    statement = split_statement(sql)
    assert statement.kind is Kind.BROKEN
    answer = engine.query(statement.text)
    assert isinstance(answer, str) and "Code: 62." in answer
    assert b"DROP TABLE x" not in statement.text


@pytest.mark.parametrize(
    ("sql", "kind", "verb"),
    [
        (b"SELECT 1", Kind.OUTPUT, "SELECT"),
        (b"(SELECT 1)", Kind.OUTPUT, "("),
        (b"FROM t SELECT 1", Kind.OUTPUT, "FROM"),
        (b"with insert as (select 1) select * from insert", Kind.OUTPUT, "WITH"),
        (b"show tables", Kind.OUTPUT, "SHOW"),
        (b"CREATE TABLE insert (into Int8) ENGINE=Memory", Kind.COMMAND, "CREATE"),
        (b"SET a=1", Kind.COMMAND, "SET"),
        (b"gibberish", Kind.COMMAND, "GIBBERISH"),
        (b"", Kind.EMPTY, ""),
        (b" \n-- x\n/* y */", Kind.EMPTY, ""),
        (b";", Kind.EMPTY, ""),
        (b"'a'", Kind.COMMAND, ""),
        (b"\xff\xfe", Kind.COMMAND, ""),
    ],
)
def test_kinds(sql: bytes, kind: Kind, verb: str) -> None:
    statement = split_statement(sql)
    assert (statement.kind, statement.verb, statement.second) == (kind, verb, None)


@pytest.mark.parametrize(
    ("sql", "format"),
    [
        (b"SELECT 1 FORMAT JSON", "JSON"),
        (b"SELECT 1 format `JSON`;", "JSON"),
        (b"SELECT 1 SETTINGS a=1 FORMAT JSON", "JSON"),
        (b"SELECT 1 FORMAT JSON SETTINGS a=1, b=2", "JSON"),
        (b"SELECT 1 INTO OUTFILE 'x' FORMAT JSON", "JSON"),
        (b"SELECT * FROM t FINAL FORMAT JSON", "JSON"),
        (b"SELECT x.from FORMAT JSON", "JSON"),
        (b"DESCRIBE format FORMAT JSON", "JSON"),
        (b"SHOW CREATE TABLE format FORMAT JSON", "JSON"),
        (b"SELECT format FROM t FORMAT JSON", "JSON"),
        (b"SELECT 1 UNION ALL (SELECT 2) FORMAT JSON -- FORMAT CSV", "JSON"),
        (b"SELECT a FROM t ORDER BY a DESC FORMAT JSON", "JSON"),
        (b"SELECT name, database FROM t GROUP BY name, database FORMAT JSON", "JSON"),
        (b"SHOW TABLES FROM database FORMAT JSON", "JSON"),
        (b"SELECT DISTINCT to, from FORMAT JSON", "JSON"),
        (b"DESC TABLE format FORMAT JSON", "JSON"),
        (b"EXPLAIN SELECT 1 ORDER BY 1 DESC FORMAT JSON", "JSON"),
        (b"SELECT 1 AS format", None),
        (b"SELECT format, x", None),
        (b"SELECT a FROM format f", None),
        (b"SELECT 'x FORMAT JSON'", None),
        (b"SELECT * FROM (SELECT 1 FORMAT JSON)", None),
        (b"SELECT formatDateTime(now(), '%F') -- FORMAT JSON", None),
    ],
)
def test_the_format_clause_is_told_from_names(sql: bytes, format: str | None) -> None:
    statement = split_statement(sql)
    assert statement.format == format
    if format:
        assert statement.format_span is not None
        clause = sql[slice(*statement.format_span)]
        assert re.fullmatch(rb"(?i)format `?JSON`?", clause)


WORDS = (
    b"all and as asc between by case database desc describe dictionary distinct div else except exists explain "
    b"final from function global having ilike in intersect interval into is join last like limit mod not offset "
    b"on or prewhere qualify regexp sample select set settings table temporary then to top totals union using "
    b"values view when where with"
).split()
PLACES = (
    "SELECT {w} FROM (SELECT 1 AS {w}) ORDER BY {w} FORMAT JSONCompact",
    "SELECT {w} FROM (SELECT 1 AS {w}) GROUP BY {w} FORMAT JSONCompact",
    "SELECT x FROM (SELECT 1 AS x) ORDER BY x {w} FORMAT JSONCompact",
    "SELECT 1 AS {w} FORMAT JSONCompact",
    "SELECT 1 FROM (SELECT 1) AS {w} FORMAT JSONCompact",
    "WITH 2 AS {w} SELECT {w} FORMAT JSONCompact",
    "WITH 2 AS {w} SELECT DISTINCT {w} FORMAT JSONCompact",
    "WITH 2 AS {w} SELECT 1, {w} FORMAT JSONCompact",
    "WITH 2 AS {w} SELECT 1 + {w} FORMAT JSONCompact",
    "WITH 2 AS {w} SELECT 1 AND {w} FORMAT JSONCompact",
    "WITH 2 AS {w} SELECT 1 IN {w} FORMAT JSONCompact",
    "WITH 2 AS {w} SELECT 1 WHERE {w} FORMAT JSONCompact",
    "WITH 5 AS format SELECT {w} format JSONCompact",
)


@pytest.mark.parametrize("place", PLACES)
def test_a_keyword_before_format_is_read_as_the_engine_reads_it(place: str, engine: EngineChild) -> None:
    read = 0
    for word in WORDS:
        sql = place.format(w=word.decode())
        answer = engine.query(sql)
        if isinstance(answer, bytes):
            read += 1
            expected = "JSONCompact" if answer.startswith(b"{") else None
            assert (sql, split_statement(sql.encode()).format) == (sql, expected)
    assert read, "the engine refused every one of them"


def test_further_clauses_are_noted() -> None:
    statement = split_statement(b"SELECT 1 INTO OUTFILE 'x' SETTINGS a=1")
    assert statement.into_outfile
    assert statement.settings_start == len(b"SELECT 1 INTO OUTFILE 'x' ")
    assert split_statement(b"SELECT settings FROM t").settings_start is None


@pytest.mark.parametrize("tail", [b";", b" ; ; ", b";-- x", b"; /* y; */\n", b""])
def test_semicolons_and_comments_behind_a_statement_are_no_second_one(tail: bytes) -> None:
    statement = split_statement(b"SELECT ';'" + tail)
    assert (statement.text, statement.second) == (b"SELECT ';'", None)


@pytest.mark.parametrize("tail", [b"SELECT 2", b" ;DROP TABLE t", b"\x00", b"'", b"/*"])
def test_anything_else_behind_is(tail: bytes) -> None:
    assert split_statement(b"SELECT 1;" + tail).second is not None


@pytest.mark.parametrize("verb", [b"EXPLAIN", b"EXPLAIN AST", b"EXPLAIN SYNTAX", b"EXECUTE AS default"])
@pytest.mark.parametrize("tail", [b"FORMAT CSV\n1\n\nDROP TABLE x", b"VALUES (1)\n\n;DROP TABLE x"])
def test_the_data_of_an_explained_insert_is_cut_off(engine: EngineChild, verb: bytes, tail: bytes) -> None:
    statement = split_statement(verb + b" INSERT INTO t " + tail)
    assert statement.kind is Kind.OUTPUT and statement.insert is None
    assert b"DROP" not in statement.text
    assert engine.statements([statement.text]) == [1]


NAME = st.sampled_from([b"t", b"d.t", b"`t;`", b'"d x".t', b"values", b"TABLE t", b"format", b"{t:Identifier}"])
COLUMNS = st.sampled_from([b"", b" (a, b)", b"(`a)`)", b" (* EXCEPT (a))", b" ( /* ) */ a )"])
SETTINGS = st.sampled_from([b"", b" SETTINGS a=1", b" SETTINGS a='FORMAT x', b=(1, 2)", b" SETTINGS a={'x': 'VALUES'}"])
SPACE = st.sampled_from([b" ", b"\n", b" /* FORMAT TSV\n1 */ ", b" -- VALUES (1)\n", b"\t", b" # VALUES\n"])
GAP = st.sampled_from([b"\n", b" \n", b"\r\n", b"\t\t\r\n", b" "])
FORMATS = st.sampled_from([b"CSV", b"JSONEachRow", b"RowBinary", b"Native", b"Values", b"`TSV`"])
INJECTION = st.sampled_from(
    [b"", b"\n\nDROP TABLE t\n", b"; DROP TABLE t;", b"'", b"/*", b"--", b"$a$", b" FORMAT CSV\n", b"\x00"]
)
DATA = st.builds(lambda a, b, c: a + b + c, INJECTION, st.binary(max_size=40), INJECTION)
HEAD = st.builds(
    lambda space, name, columns, settings: (
        space.lstrip(b" ") + b"INSERT" + space + b"INTO " + name + columns + settings
    ),
    SPACE,
    NAME,
    COLUMNS,
    SETTINGS,
)


def with_format(head: bytes, space: bytes, name: bytes, gap: bytes) -> bytes:
    return head + space + b"FORMAT" + space + name + gap


@settings(max_examples=2000, deadline=None)
@given(head=HEAD, space=SPACE, name=FORMATS, gap=GAP, data=DATA)
def test_no_data_moves_the_border_of_the_statement(
    head: bytes, space: bytes, name: bytes, gap: bytes, data: bytes
) -> None:
    """A line end closes the head for good, whatever bytes come after it."""
    sql = with_format(head, space, name, gap.rstrip(b"\n ") + b"\n")
    statement = split_statement(sql + data)
    assert statement.kind is Kind.INSERT
    assert statement.insert is not None
    assert statement.insert.data_offset == len(sql)
    assert statement.second is None
    assert statement.text == sql[: len(statement.text) + statement.start][statement.start :]


@settings(max_examples=1500, deadline=None)
@given(head=HEAD, space=SPACE, name=FORMATS, gap=GAP, data=DATA, cuts=st.lists(st.integers(1, 30), max_size=8))
def test_any_cut_of_the_body_gives_the_same_statement(
    head: bytes, space: bytes, name: bytes, gap: bytes, data: bytes, cuts: list[int]
) -> None:
    sql = with_format(head, space, name, gap) + data
    whole = split_statement(sql)
    reader, pos = StatementReader(), 0
    found: Statement | None = None
    for cut in [*cuts, len(sql)]:
        found = reader.feed(sql[pos : pos + cut])
        pos += cut
        if found:
            break
    found = found or reader.finish()
    assert (found.kind, found.text, found.format) == (whole.kind, whole.text, whole.format)
    assert found.insert is not None and whole.insert is not None
    assert found.insert.data_offset == whole.insert.data_offset


@settings(max_examples=1200, deadline=None)
@given(head=HEAD, space=SPACE, data=DATA)
def test_values_begin_at_their_first_sign(head: bytes, space: bytes, data: bytes) -> None:
    sql = head + space + b"VALUES" + space
    statement = split_statement(sql + b"(1)" + data)
    assert statement.insert is not None
    assert statement.insert.data_offset == len(sql)


NOISE = [
    *(
        b"INSERT ",
        b"INTO ",
        b"t ",
        b"VALUES ",
        b"FORMAT ",
        b"CSV",
        b"\n",
        b"SELECT ",
        b"input(",
        b"(",
        b")",
        b",",
    ),
    *(b"SETTINGS ", b"a=1 ", b"WITH ", b"x AS ", b"FROM ", b"INFILE ", b"'x'", b"'", b"--", b"/*", b"*/", b";"),
    *(b"FUNCTION ", b"PARTITION BY ", b"EXPLAIN ", b"INTO OUTFILE ", b"{", b"}", b"\xff", b"$a$", b".", b"`q`"),
]


def noise(chance: random.Random) -> bytes:
    return b"".join(chance.choices(NOISE, k=chance.randrange(15)))


#: A seed makes a batch of cases: drawing each of them would cost many times what it takes to check it.
SEEDS = st.integers(0, 2**60).map(random.Random)
BATCH = 50


@settings(max_examples=60, deadline=None)
@given(chance=SEEDS)
def test_nothing_is_raised_and_the_text_handed_to_the_engine_is_at_most_one_statement(
    engine: EngineChild, chance: random.Random
) -> None:
    statements = [split_statement(noise(chance)) for _ in range(BATCH)]
    texts = [statement.insert.head if statement.insert else statement.text for statement in statements]
    for statement, found in zip(statements, engine.statements(texts), strict=True):
        assert found <= 1, statement


@settings(max_examples=60, deadline=None)
@given(chance=SEEDS)
def test_a_decision_on_a_prefix_is_the_decision_on_the_whole(chance: random.Random) -> None:
    for _ in range(BATCH):
        sql, cut = noise(chance), chance.randrange(81)
        try:
            early = split_statement(sql[:cut], final=False)
        except NeedMore:
            continue
        whole = split_statement(sql)
        assert (early.kind, early.text, early.insert) == (whole.kind, whole.text, whole.insert), sql


@pytest.mark.parametrize("end", [b"", b"(", b"(SELECT ", b"(')", b"(; DROP TABLE t", b"([; DROP TABLE t"])
def test_a_call_of_input_that_does_not_end_takes_no_second_statement_along(end: bytes) -> None:
    statement = split_statement(b"INSERT INTO t SELECT * FROM input" + end)
    assert b"DROP" not in statement.text
    assert (statement.second is not None) == (b"DROP" in end)


def test_a_long_select_is_read_in_linear_time_piece_by_piece() -> None:
    reader = StatementReader()
    for _ in range(3000):
        assert reader.feed(b"SELECT 1, " * 40) is None
    statement = reader.finish()
    assert statement.kind is Kind.OUTPUT
    assert len(reader) == 3000 * 400


def test_a_with_that_never_becomes_an_insert_is_tried_a_few_times_only(monkeypatch: pytest.MonkeyPatch) -> None:
    from test_framework.embedded_clickhouse import statement as module

    tries = []
    original = module.split_statement

    def counted(sql: bytes, *, final: bool = True) -> Statement:
        tries.append(len(sql))
        return original(sql, final=final)

    monkeypatch.setattr(module, "split_statement", counted)
    reader = StatementReader()
    for _ in range(2000):
        reader.feed(b"WITH 1 AS x, " * 20)
    assert sum(tries) < 10 * len(reader)
