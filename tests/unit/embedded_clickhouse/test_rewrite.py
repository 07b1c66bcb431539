"""Changes to statements, made at tokens; what comes out is run by the real engine."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from test_framework.embedded_clickhouse.rewrite import (
    as_client,
    input_to_file,
    insert_from_file,
    quoted,
    rewrite_query_ids,
    rewrite_texts,
    with_outfile,
    without_client,
)
from test_framework.embedded_clickhouse.statement import split_statement
from tests.unit.embedded_clickhouse.engine_child import EngineChild

COLUMN = "Settings['log_comment']"


def marker(query_id: str) -> str:
    return f"gw:{query_id}"


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("KILL QUERY WHERE query_id = 'x' SYNC", f"KILL QUERY WHERE {COLUMN} = 'gw:x' SYNC"),
        ("KILL QUERY WHERE query_id='it\\'s' ASYNC", f"KILL QUERY WHERE {COLUMN}='gw:it\\'s' ASYNC"),
        ("KILL QUERY WHERE query_id=$a$x$a$", f"KILL QUERY WHERE {COLUMN}='gw:x'"),
        ("KILL QUERY WHERE `query_id` == 'x'", f"KILL QUERY WHERE {COLUMN} == 'gw:x'"),
        ("KILL QUERY WHERE query_id IN ('a', 'b')", f"KILL QUERY WHERE {COLUMN} IN ('gw:a', 'gw:b')"),
        ("KILL QUERY WHERE query_id NOT IN ['a']", f"KILL QUERY WHERE {COLUMN} NOT IN ['gw:a']"),
        ("KILL QUERY WHERE query_id != 'x'", f"KILL QUERY WHERE {COLUMN} != 'gw:x'"),
        ("KILL QUERY WHERE 'x' = query_id", f"KILL QUERY WHERE 'gw:x' = {COLUMN}"),
        ("KILL QUERY WHERE p.query_id='x' AND a='x'", f"KILL QUERY WHERE p.{COLUMN}='gw:x' AND a='x'"),
    ],
)
def test_conditions_on_the_query_id_become_conditions_on_the_marker(sql: str, expected: str) -> None:
    assert rewrite_query_ids(sql.encode(), marker, marker=COLUMN.encode()).decode() == expected


@pytest.mark.parametrize(
    "sql",
    [
        "KILL QUERY WHERE query_id LIKE 'x%'",
        "KILL QUERY WHERE query_id = concat('x')",
        "KILL QUERY WHERE query_id IN (SELECT 'a')",
        "KILL QUERY WHERE query_id IN ('a', f('b'))",
        "KILL QUERY WHERE user = 'query_id = \\'x\\''",
        "KILL QUERY WHERE 1 -- query_id = 'x'",
        "KILL QUERY WHERE initial_query_id = 'x'",
        "KILL QUERY WHERE query_id > 'x'",
    ],
)
def test_all_else_is_left_alone(sql: str) -> None:
    assert rewrite_query_ids(sql.encode(), marker, marker=COLUMN.encode()).decode() == sql


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("KILL QUERY WHERE query = 'query'", "KILL QUERY WHERE X = 'query'"),
        ("kill query where `query` LIKE '%' AND user = 'query'", "kill query where X LIKE '%' AND user = 'query'"),
        ("KILL QUERY WHERE p.query = query_id -- query", "KILL QUERY WHERE p.query = query_id -- query"),
    ],
)
def test_the_text_of_a_query_becomes_an_expression(sql: str, expected: str) -> None:
    assert rewrite_texts(sql.encode(), query=b"X").decode() == expected


@pytest.mark.parametrize("value", [b"", b"a'b", b"a\\", b"\\'", b"\xff", b"a\nb"])
def test_a_quoted_value_reads_back(engine: EngineChild, value: bytes) -> None:
    assert engine.query(b"SELECT " + quoted(value), "RawBLOB") == value


@pytest.mark.parametrize(
    ("sql", "result"),
    [
        ("SELECT 1 AS a", b"1\n"),
        ("SELECT 1 AS a FORMAT JSONEachRow", b'{"a":1}\n'),
        ("SELECT 1 AS a SETTINGS max_threads=1 FORMAT JSONEachRow", b'{"a":1}\n'),
        ("SELECT 1 AS a FORMAT JSONEachRow SETTINGS max_threads=1", b'{"a":1}\n'),
        ("SELECT 1 AS a SETTINGS max_threads=1", b"1\n"),
        ("(SELECT 1 AS a) UNION ALL (SELECT 1) FORMAT JSONEachRow;", b'{"a":1}\n{"a":1}\n'),
        ("SELECT 1 AS a -- a comment", b"1\n"),
        ("SELECT 1 AS a /* FORMAT CSV */; -- and another", b"1\n"),
        ("WITH 'FORMAT CSV' AS format SELECT format FORMAT LineAsString", b"FORMAT CSV\n"),
        ("DESCRIBE (SELECT 1 AS a) FORMAT CSV", b'"a","UInt8","","","","",""\n'),
    ],
)
def test_the_result_goes_to_the_file(engine: EngineChild, tmp_path: Path, sql: str, result: bytes) -> None:
    target = tmp_path / "it's"
    answer = engine.query(with_outfile(split_statement(sql.encode()), str(target)))
    assert answer == b"", answer
    assert (target.read_bytes() if target.exists() else b"") == result


def test_input_is_read_from_the_file(engine: EngineChild, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("1,x\n2,y\n")
    engine.query("CREATE TABLE IF NOT EXISTS from_input (a Int32, b String) ENGINE = Memory")
    sql = (
        b"INSERT INTO from_input SELECT a + 10, b FROM input('a Int32, b String') WHERE b != 'y' FORMAT CSV\n1,x\n2,y\n"
    )
    text = input_to_file(split_statement(sql), str(tmp_path / "data"), "CSV")
    assert engine.query(text) == b""
    assert engine.query("SELECT * FROM from_input ORDER BY a", "CSV") == b'11,"x"\n'


def test_input_without_a_structure_takes_the_tables(engine: EngineChild, tmp_path: Path) -> None:
    (tmp_path / "data").write_text('{"a":5}\n')
    engine.query("CREATE TABLE IF NOT EXISTS from_input2 (a Int32) ENGINE = Memory")
    sql = b"WITH 1 AS one INSERT INTO from_input2 SELECT a + one FROM input() FORMAT JSONEachRow\n"
    text = input_to_file(split_statement(sql), str(tmp_path / "data"), "JSONEachRow")
    assert engine.query(text) == b""
    assert engine.query("SELECT * FROM from_input2", "CSV") == b"6\n"


@pytest.mark.parametrize(
    ("target", "settings", "rest"),
    [
        ("INSERT INTO t", "", "FORMAT CSV\n1"),
        ("INSERT INTO t (a, b)", "", "VALUES (1)"),
        ("INSERT INTO t", "SETTINGS a=1, b='SETTINGS'", "FORMAT CSV\n"),
        ("INSERT INTO settings (`SETTINGS`)", "SETTINGS a=1", "VALUES"),
    ],
)
def test_data_is_read_from_a_file_instead(target: str, settings: str, rest: str) -> None:
    sql = f"-- c\n{target} {settings} {rest}"
    text = insert_from_file(split_statement(sql.encode()), "/x", "CSV").decode()
    assert text.split() == f"{target} FROM INFILE '/x' {settings} FORMAT CSV".split()


def test_an_insert_from_a_file_does_what_the_data_does(engine: EngineChild, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("('x'), ('y'); and what is behind the end")
    engine.query("CREATE TABLE IF NOT EXISTS from_file (a String, b UInt8 DEFAULT 7) ENGINE = Memory")
    statement = split_statement(b"INSERT INTO from_file (a) SETTINGS max_insert_threads=1 VALUES ('x'), ('y'); and")
    engine.query(insert_from_file(statement, str(tmp_path / "data"), "Values"))
    assert engine.query("SELECT * FROM from_file ORDER BY a") == b"x\t7\ny\t7\n"


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT currentUser()", "SELECT ('o\\'x' AS `currentUser()`)"),
        ("SELECT user ( ), QUERY_ID()", "SELECT ('o\\'x' AS `user()`), ('q' AS `QUERY_ID()`)"),
        ("SELECT upper(current_user())", "SELECT upper(('o\\'x' AS `current_user()`))"),
        ("SELECT 1 WHERE initialQueryID() = 'user()'", "SELECT 1 WHERE ('q' AS `initialQueryID()`) = 'user()'"),
        ("SELECT users(), user, user(1), `user`(), t.user()", None),
        ("SELECT 'user()', \"user()\", $$user()$$ -- user()", None),
        ("SELECT * FROM user()", None),
        ("INSERT INTO user () SELECT 1", None),
    ],
)
def test_calls_that_ask_who_asks_are_answered_and_nothing_else_is(sql: str, expected: str | None) -> None:
    changed = as_client(sql.encode(), user="o'x", query_id="q").decode()
    assert changed == (expected or sql)
    if expected:
        assert "AS `" not in without_client(f"In scope {changed}")


@given(sql=st.text(alphabet="user() ',`\n", max_size=30), user=st.text(max_size=5))
def test_what_is_put_in_is_taken_out_again(sql: str, user: str) -> None:
    changed = as_client(sql.encode(), user=user, query_id="q").decode()
    again = re.sub(r"user\s*\(\s*\)", "user()", sql)
    assert re.sub(r"user\s*\(\s*\)", "user()", without_client(changed)) == again
