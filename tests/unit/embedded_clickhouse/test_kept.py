"""Which connections are used again."""

from __future__ import annotations

from typing import cast

import pytest

from test_framework.embedded_clickhouse.engine import Connection
from test_framework.embedded_clickhouse.kept import Kept, changes_databases, leaves_nothing


class Fake:
    closed = False

    def close(self) -> None:
        self.closed = True


def fakes(number: int) -> list[Connection]:
    return [cast("Connection", Fake()) for _ in range(number)]


def is_closed(connection: Connection) -> bool:
    return cast("Fake", connection).closed


def test_a_connection_serves_one_at_a_time_and_only_what_is_like_it() -> None:
    kept = Kept()
    [one] = fakes(1)
    kept.give(kept.place("d", {"a": "1", "b": "2"}), one)
    for database, settings in (("d", {"a": "1"}), ("", {"a": "1", "b": "2"}), ("d", {"a": "2", "b": "1"})):
        assert kept.take(kept.place(database, settings)) is None
    assert kept.take(kept.place("d", {"b": "2", "a": "1"})) is one
    assert kept.take(kept.place("d", {"b": "2", "a": "1"})) is None
    assert not is_closed(one)


def test_the_connection_that_waited_longest_makes_place() -> None:
    kept = Kept()
    many = fakes(40)
    for number, one in enumerate(many):
        kept.give(kept.place(str(number), {}), one)
    still = [not is_closed(one) for one in many]
    assert still == sorted(still)
    assert 0 < sum(still) < 40
    assert kept.take(kept.place("39", {})) is many[-1]


def test_what_is_forgotten_is_closed_even_if_it_comes_back_later() -> None:
    kept = Kept()
    free, used = fakes(2)
    place = kept.place("d", {})
    kept.give(place, free)
    kept.forget()
    assert is_closed(free)
    kept.give(place, used)
    assert is_closed(used)
    assert kept.take(kept.place("d", {})) is None


@pytest.mark.parametrize(
    "sql",
    [
        "SET max_threads = 1",
        "USE system",
        "CREATE TEMPORARY TABLE t (a Int8)",
        "create temporary view v as select 1",
        "SELECT 1 SETTINGS max_threads = 1",
        "SELECT 1 INTO OUTFILE 'x'",
        "SYSTEM STOP MERGES",
        "BEGIN TRANSACTION",
        "KILL QUERY WHERE 1",
        "EXECUTE AS x SELECT 1",
        "exit",
        "SELECT " + "1 + " * 40_000 + "1",
    ],
)
def test_what_may_leave_something_is_not_used_again(sql: str) -> None:
    assert not leaves_nothing(sql.split()[0].upper(), sql.encode())


@pytest.mark.parametrize(
    ("sql", "changes"),
    [
        ("DROP DATABASE d", True),
        ("create database d", True),
        ("RENAME DATABASE a TO b", True),
        ("RESTORE DATABASE d FROM Disk('a', 'b')", True),
        ("SELECT database FROM system.tables", False),
        ("INSERT INTO database VALUES (1)", False),
        ("DROP TABLE t", False),
        ("DROP /*" + " " * 80_000 + "*/ DATABASE d", True),
    ],
)
def test_statements_that_change_databases_are_known(sql: str, *, changes: bool) -> None:
    assert changes_databases(sql.split()[0].upper(), sql.encode()) == changes
