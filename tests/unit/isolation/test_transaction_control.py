"""What a statement's first words say about transactions is read as the server reads it."""

from __future__ import annotations

import pytest

from test_framework.services.postgres.transaction_control import (
    Kind,
    is_read_only,
    isolation_level,
    kind_of,
    local_settings,
    split,
)


@pytest.mark.parametrize(
    ("query", "kind"),
    [
        ("BEGIN", Kind.BEGIN),
        ("  -- why\n/* so */ start transaction", Kind.BEGIN),
        ("COMMIT AND CHAIN", Kind.COMMIT),
        ("end", Kind.COMMIT),
        ("ABORT", Kind.ROLLBACK),
        ("rollback work", Kind.ROLLBACK),
        ("ROLLBACK TO SAVEPOINT a", Kind.SAVEPOINT),
        ("rollback transaction to a", Kind.SAVEPOINT),
        ("release a", Kind.SAVEPOINT),
        ("PREPARE TRANSACTION 'x'", Kind.PREPARE),
        ("COMMIT PREPARED 'x'", Kind.PREPARE),
        ("ROLLBACK PREPARED 'x'", Kind.PREPARE),
        ("PREPARE p AS SELECT 1", Kind.SESSION),
        ("DISCARD ALL", Kind.SESSION),
        ("NOTIFY a", Kind.NOTIFY),
        ("select pg_notify($1, $2)", Kind.NOTIFY),
        ("LISTEN a", Kind.LISTEN),
        ("SELECT 'BEGIN'", Kind.PLAIN),
        ("beginning", Kind.PLAIN),
        ("", Kind.PLAIN),
    ],
)
def test_the_kind_of_a_statement_is_in_its_first_words(query: str, kind: Kind) -> None:
    assert kind_of(query) is kind


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("SET LOCAL work_mem = '1MB'", ["work_mem"]),
        ('set local "My.Var" to 1', ["My.Var"]),
        ("SET LOCAL TIME ZONE 'UTC'", ["TimeZone"]),
        ("SET LOCAL TRANSACTION READ ONLY", []),
        ("SET LOCAL ROLE x", ["ROLE"]),
        ("SET work_mem = 1", []),
        ("SELECT set_config('app.user', $1, true)", ["app.user"]),
        ("SELECT set_config('app.user', $1, false)", []),
    ],
)
def test_settings_that_end_with_a_transaction_are_found(query: str, names: list[str]) -> None:
    assert local_settings(query) == names


def test_a_script_is_cut_only_where_it_speaks_of_transactions() -> None:
    assert split("SELECT 1; SELECT 2") == ["SELECT 1; SELECT 2"]
    assert split("BEGIN; SELECT ';'; COMMIT;") == ["BEGIN", "SELECT ';'", "COMMIT"]
    body = "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$BEGIN RETURN 1; END$$"
    assert split(body) == [body]


def test_what_a_begin_asks_for_is_understood() -> None:
    assert isolation_level("BEGIN ISOLATION LEVEL  serializable") == "serializable"
    assert isolation_level("BEGIN ISOLATION LEVEL REPEATABLE READ") == "repeatable_read"
    assert isolation_level("BEGIN ISOLATION LEVEL READ COMMITTED") is None
    assert is_read_only("BEGIN READ ONLY")
    assert not is_read_only("BEGIN READ WRITE")
