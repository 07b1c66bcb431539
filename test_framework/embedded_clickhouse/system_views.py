"""``system.processes`` as clients should see it: their query ids, and statements without what was added on the way."""

from __future__ import annotations

import json
from collections.abc import Callable

from test_framework.embedded_clickhouse.engine import Connection, Engine, QueryResult
from test_framework.embedded_clickhouse.lexer import QUOTED, WORD, identifier_text, tokens
from test_framework.embedded_clickhouse.statement import Statement, split_statement

__all__ = ["create_views", "kill_queries", "with_views"]

_TABLE, _VIEW = b"processes", b"processes_by_client"


_KILLED = "kill_status String, query_id String, user String, query String"


def _clean_query() -> str:
    """The text of a query as it was sent, as an expression."""
    clause = r"INTO OUTFILE \'[^\']*/spool/result-\\d+\' APPEND"
    added = rf"\\n{clause}\\nFORMAT \\w+$|{clause} "
    return f"replace(replaceRegexpOne(query, '{added}', ''), '{_VIEW.decode()}', '{_TABLE.decode()}')"


def create_views(engine: Engine) -> None:
    """Make the view. The engine keeps its ``system`` database in memory, so at every start."""
    client_id = f"if(Settings['{engine.marker}'] = '', query_id, Settings['{engine.marker}'])"
    query = _clean_query()
    columns = f"* REPLACE ({client_id} AS query_id, {client_id} AS initial_query_id, {query} AS query)"
    engine.text(f"CREATE OR REPLACE VIEW system.{_VIEW.decode()} AS SELECT {columns} FROM system.processes")  # noqa: S608 - constants


def with_views(statement: Statement) -> Statement:
    """The statement reading the view instead of the table."""
    text = statement.text
    if _TABLE not in text:
        return statement
    parts: list[bytes] = []
    done = 0
    before = [b"", b""]
    for token in tokens(text):
        name = identifier_text(text, token) if token[0] in (WORD, QUOTED) else text[token[1] : token[2]]
        if name == _TABLE and before == [b"system", b"."]:
            parts.append(text[done : token[1]] + _VIEW)
            done = token[2]
        before = [before[1], name]
    return split_statement(b"".join([*parts, text[done:]])) if parts else statement


def kill_queries(
    connection: Connection,
    statement: bytes,
    format: str,
    *,
    params: dict[str, str],
    marker: str,
    client_id: Callable[[str], str],
) -> QueryResult:
    """Run a KILL QUERY, with the ids and the texts of the clients in its rows.

    Args:
        statement: without its FORMAT clause.
        format: of the answer.
        params: of the statement.
        marker: the setting that marks the queries.
        client_id: from a marker to the client's id.
    """
    known = f"SELECT query_id, Settings['{marker}'], {_clean_query()} FROM system.processes"  # noqa: S608 - constants
    by_id = {
        query_id: (client_id(marked) if marked else query_id, clean)
        for query_id, marked, clean in _rows(connection.query(known, _ROWS))
    }
    killed = []
    for status, query_id, user, text in _rows(connection.query(statement, _ROWS, params=params)):
        shown, clean = by_id.get(query_id, (query_id, text))
        killed.append([status, shown, user, clean])
    lines = "\n".join(json.dumps(row) for row in killed)
    again = f"SELECT * FROM format({_ROWS}, '{_KILLED}', {{killed:String}})"  # noqa: S608 - constants
    escaped = lines.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t")
    return connection.query(again, format, params={"killed": escaped})


_ROWS = "JSONCompactEachRow"


def _rows(result: QueryResult) -> list[list[str]]:
    return [json.loads(line) for line in result.bytes().decode("utf-8", "replace").split("\n") if line]
