"""Connections of the engine that are used again: making one costs a quarter of a small query.

A connection is kept when its statement has ended well and is of a kind that leaves nothing on it: no setting, no
database, no temporary table, no role. Then it is as good as new for a request with the same settings and database. What
changes databases makes all of them be forgotten, since a fresh connection would look for its database.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Hashable, Mapping

from test_framework.embedded_clickhouse.engine import Connection

__all__ = ["Kept", "Place", "changes_databases", "leaves_nothing"]

_MOST = 16
#: Bytes of a statement that are looked at; nobody else works meanwhile.
_SMALL = 1 << 16
_READING = frozenset({"SELECT", "WITH", "FROM", "(", "SHOW", "DESCRIBE", "DESC", "EXISTS", "CHECK", "EXPLAIN"})
_WRITING = frozenset({"INSERT", "CREATE", "DROP", "ALTER", "TRUNCATE", "OPTIMIZE", "RENAME", "EXCHANGE", "DELETE"})
#: What a statement may leave on its connection, or what it puts there for its own time.
_LEFT = re.compile(rb"(?i)settings|temp|outfile|infile")
_DATABASE = re.compile(rb"(?i)database")

#: What a connection is like, and when it was taken.
Place = tuple[int, Hashable]


def leaves_nothing(verb: str, sql: bytes) -> bool:
    """Whether a statement that ends well leaves its connection as it was; said of few that do not need it."""
    return (verb in _READING or verb in _WRITING) and len(sql) <= _SMALL and _LEFT.search(sql) is None


def changes_databases(verb: str, sql: bytes) -> bool:
    """Whether a statement may make, remove or rename a database."""
    return verb not in _READING and verb != "INSERT" and (len(sql) > _SMALL or _DATABASE.search(sql) is not None)


class Kept:
    """The connections that nobody uses now. From any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._age = 0
        self._free: list[tuple[Hashable, Connection]] = []

    def place(self, database: str, settings: Mapping[str, str]) -> Place:
        """What a connection for such a request is like, for ``take`` and ``give``."""
        return self._age, (database, frozenset(settings.items()))

    def take(self, place: Place) -> Connection | None:
        """A connection that is like this, the one used last; ``None`` when a new one has to be made."""
        with self._lock:
            for at in range(len(self._free) - 1, -1, -1):
                if self._free[at][0] == place[1]:
                    return self._free.pop(at)[1]
        return None

    def give(self, place: Place, connection: Connection) -> None:
        """Keep a connection. The one that has waited longest is closed when there are too many."""
        with self._lock:
            if place[0] == self._age:
                self._free.append((place[1], connection))
                if len(self._free) <= _MOST:
                    return
                connection = self._free.pop(0)[1]
        connection.close()

    def forget(self) -> None:
        """Close all, also those that are being used, as soon as they are given back."""
        with self._lock:
            self._age += 1
            free, self._free = self._free, []
        for _, connection in free:
            connection.close()
