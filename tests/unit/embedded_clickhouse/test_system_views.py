"""Which statements read what clients see of ``system.processes``, and how."""

from __future__ import annotations

import pytest

from test_framework.embedded_clickhouse.statement import split_statement
from test_framework.embedded_clickhouse.system_views import with_views
from tests.unit.embedded_clickhouse.engine_child import EngineChild

COLUMNS = frozenset({"query_id", "initial_query_id", "query", "user", "elapsed", "Settings"})
VIEW, TABLE = b"system.processes_by_client", b"FROM system.processes"


def rewritten(sql: str) -> bytes:
    return with_views(split_statement(sql.encode()), COLUMNS).text


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count() FROM system.processes",
        "SELECT count(*), max(elapsed) FROM system.processes WHERE user = 'query'",
        "SELECT 'system.processes', query FROM t -- system.processes",
        "SELECT query FROM processes",
        "SHOW TABLES",
    ],
)
def test_what_is_the_same_for_clients_is_left_alone(sql: str) -> None:
    assert rewritten(sql) == split_statement(sql.encode()).text


@pytest.mark.parametrize(
    ("sql", "columns"),
    [
        ("SELECT query FROM system.processes", {"query"}),
        ("SELECT p.query, user FROM `system`.`processes` AS p WHERE p.query_id = '*'", {"query", "user", "query_id"}),
        ("SELECT count(*) FROM t JOIN system.processes USING (`query_id`)", {"query_id"}),
        ("INSERT INTO t SELECT query FROM system . processes", {"query"}),
    ],
)
def test_the_table_stands_with_the_columns_that_are_read(engine: EngineChild, sql: str, columns: set[str]) -> None:
    text = rewritten(sql)
    assert VIEW not in text
    end = text.index(TABLE) + len(TABLE) + 1
    described = engine.query(b"DESCRIBE TABLE " + text[text.index(b"(SELECT ") : end])
    assert isinstance(described, bytes), described
    assert {line.split("\t")[0] for line in described.decode().splitlines()} == columns


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM system.processes",
        "SELECT p.* FROM system.processes p",
        "SELECT COLUMNS('q') FROM system.processes",
        "SELECT system.processes.query FROM system.processes",
        "SELECT processes.query FROM system.processes",
        "SELECT query, Settings.keys FROM system.processes",
        "SELECT query FROM t, system.processes",
        "DESCRIBE TABLE system.processes",
        "CREATE VIEW v AS SELECT query FROM system.processes",
        "SHOW PROCESSLIST",
        "show processlist FORMAT JSON",
    ],
)
def test_where_the_columns_are_not_shown_a_view_has_all(sql: str) -> None:
    assert VIEW in rewritten(sql)
