"""``system.processes`` as clients should see it: their query ids, and statements without what was added on the way."""

from __future__ import annotations

from test_framework.embedded_clickhouse.engine import Engine
from test_framework.embedded_clickhouse.lexer import QUOTED, WORD, identifier_text, tokens
from test_framework.embedded_clickhouse.marks import MARKER, UNMARKED
from test_framework.embedded_clickhouse.statement import Statement, split_statement

__all__ = ["clean_query", "create_views", "with_views"]

_TABLE, _VIEW = b"processes", b"processes_by_client"


def clean_query() -> str:
    """The text of a query as it was sent, as an expression."""
    clause = r"INTO OUTFILE \'[^\']*/spool/result-\\d+\' APPEND"
    added = rf"\\n{clause}\\nFORMAT \\w+$|{clause} "
    plain = f"replace(replaceRegexpOne({UNMARKED}, '{added}', ''), '{_VIEW.decode()}', '{_TABLE.decode()}')"
    put_in = r"\('(?:[^'\\]|\\.)*' AS `(\w+\(\))`\)".replace("\\", "\\\\").replace("'", "\\'")
    return f"replaceRegexpAll({plain}, '{put_in}', '\\\\1')"


def create_views(engine: Engine) -> None:
    """Make the view. The engine keeps its ``system`` database in memory, so at every start."""
    client_id = f"if({MARKER} = '', query_id, {MARKER})"
    query = clean_query()
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
