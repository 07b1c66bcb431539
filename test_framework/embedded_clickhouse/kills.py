"""KILL QUERY: by the ids that clients know, and until the query has really gone.

The engine kills what it runs at that moment. A query may be between two steps just then, such as its settings and its
statement, and would go on; a server knows it as one query from its start to its end. So a kill is repeated.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass

from test_framework.embedded_clickhouse.engine import Connection, QueryResult
from test_framework.embedded_clickhouse.lexer import STRING, WORD, string_value, tokens
from test_framework.embedded_clickhouse.marks import MARKER, marked
from test_framework.embedded_clickhouse.registry import Registry
from test_framework.embedded_clickhouse.rewrite import rewrite_query_ids, rewrite_texts
from test_framework.embedded_clickhouse.statement import Statement
from test_framework.embedded_clickhouse.system_views import clean_query

__all__ = ["Kill"]

_ROWS = "JSONCompactEachRow"
_KILLED = "kill_status String, query_id String, user String, query String"
#: How long a query that was begun may be between two steps.
_SEARCH_SECONDS = 1.0
#: How long SYNC waits for the end. A query that does not answer its client ends only with that.
_WAIT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Kill:
    """One KILL QUERY statement. Runs in a worker thread.

    Args:
        own: the marker of the statement itself.
    """

    registry: Registry
    own: str

    def run(self, connection: Connection, statement: Statement, format: str, *, params: dict[str, str]) -> QueryResult:
        """Kill, with the ids and the texts of the clients in the rows of the answer."""
        sql = rewrite_texts(statement.without_format(), query=f"({clean_query()})".encode())
        sql = rewrite_query_ids(sql, self.registry.marker, marker=MARKER.encode())
        words = [sql[start:end].upper() for kind, start, end in tokens(sql) if kind == WORD]
        target = self._target(statement.without_format())
        deadline = time.monotonic() + _SEARCH_SECONDS
        while True:
            rows, markers = self._once(connection, sql, params)
            if rows or target is None or not self.registry.runs(target) or time.monotonic() > deadline:
                break
            time.sleep(0.01)
        if b"TEST" not in words:
            markers |= {target} if target is not None else set()
            self.registry.pursue(markers - {self.own}, wait=_WAIT_SECONDS if b"SYNC" in words else 0)
        lines = "\n".join(json.dumps(row) for row in rows)
        again = f"SELECT * FROM format({_ROWS}, '{_KILLED}', {{killed:String}})"  # noqa: S608 - constants
        escaped = lines.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t")
        return connection.query(again, format, params={"killed": escaped})

    def _target(self, sql: bytes) -> str | None:
        """The marker of the query meant by ``WHERE query_id = 'id'`` alone, when one of this id runs."""
        found = list(tokens(sql))
        text = [sql[start:end].upper() for _, start, end in found]
        if text[:5] != [b"KILL", b"QUERY", b"WHERE", b"QUERY_ID", b"="] or len(found) < 6 or found[5][0] != STRING:
            return None
        if text[6:] not in ([], [b"SYNC"], [b"ASYNC"]):
            return None
        marker = self.registry.marker(string_value(sql, found[5]).decode("utf-8", "surrogateescape"))
        return marker if self.registry.runs(marker) else None

    def _once(
        self, connection: Connection, sql: bytes, params: dict[str, str]
    ) -> tuple[Sequence[Sequence[str]], set[str]]:
        """The rows that the engine gives, and the markers of the queries in them."""
        known = f"SELECT query_id, {MARKER}, {clean_query()} FROM system.processes"  # noqa: S608
        by_id = {
            query_id: (marker, self.registry.query_id(marker) if marker else query_id, text)
            for query_id, marker, text in _rows(connection.query(known, _ROWS))
        }
        rows, markers = [], set()
        for status, query_id, user, query in _rows(connection.query(marked(sql, self.own), _ROWS, params=params)):
            marker, shown, text = by_id.get(query_id, ("", query_id, query))
            rows.append([status, shown, user, text])
            markers.add(marker)
        return rows, markers


def _rows(result: QueryResult) -> list[list[str]]:
    return [json.loads(line) for line in result.bytes().decode("utf-8", "replace").split("\n") if line]
