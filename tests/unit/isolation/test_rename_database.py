"""A copy's statements name the copy wherever they named the database, and nowhere else."""

from __future__ import annotations

import pytest

from test_framework.services.clickhouse.cloning import rename_database


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("CREATE VIEW db.v AS SELECT * FROM db.t", "CREATE VIEW `new`.v AS SELECT * FROM `new`.t"),
        ('SELECT * FROM `db`.t, "db".t', "SELECT * FROM `new`.t, `new`.t"),
        ("SELECT db FROM other.db", "SELECT db FROM other.db"),
        ("SELECT other.db.t FROM mydb.t", "SELECT other.db.t FROM mydb.t"),
        ("SELECT 'db', 'db.t is fine', 'db.other'", "SELECT 'db', 'db.t is fine', 'db.other'"),
        ("SELECT dictGet('db.t', 'a', 1)", "SELECT dictGet('new.t', 'a', 1)"),
        ("SOURCE(CLICKHOUSE(TABLE 't' DB 'db'))", "SOURCE(CLICKHOUSE(TABLE 't' DB 'new'))"),
        ("SELECT 'it''s db.t', 'a\\'db.t'", "SELECT 'it''s db.t', 'a\\'db.t'"),
    ],
)
def test_the_database_is_renamed_where_it_is_meant(sql: str, expected: str) -> None:
    assert rename_database(sql, "db", "new", {"t", "v"}) == expected
