"""``system.processes`` as clients should see it: their query ids, and statements without what was added on the way.

Each function in an expression costs the engine a tenth of a millisecond before it runs, and a view ten times as much.
So there are few functions, and where a statement shows which columns it reads, the table stands in it with these alone.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from test_framework.embedded_clickhouse.engine import Engine
from test_framework.embedded_clickhouse.lexer import QUOTED, WORD, identifier_text, tokens
from test_framework.embedded_clickhouse.marks import MARK
from test_framework.embedded_clickhouse.remembering import remembering
from test_framework.embedded_clickhouse.settings import quote_string
from test_framework.embedded_clickhouse.statement import Statement, split_statement

__all__ = ["clean_query", "create_views", "with_views"]

_TABLE, _VIEW = b"processes", b"processes_by_client"
_BEGIN = "/*p*/"
_OUTFILE = r"INTO OUTFILE '[^']*/spool/result-\d+' APPEND"
#: What was added, with what was there before in groups.
_ADDED = "|".join(
    [
        "^" + MARK.replace("(", "(?:"),
        rf"\n{_OUTFILE}\nFORMAT \w+$",
        f"{_OUTFILE} ",
        r"\('(?:[^'\\]|\\.)*' AS `(\w+\(\))`\)",
        r"(processes)_by_client",
        r"/[*]p[*]/\(SELECT .*? FROM (system[.]processes)\)",
    ]
)
_GROUPS = quote_string(r"\1\2\3")
_ID = f"extract(concat(query, '/*q:', query_id, '*/'), '{MARK}')"
_SELECTS = frozenset({"SELECT", "WITH", "FROM", "(", "INSERT"})


def clean_query() -> str:
    """The text of a query as it was sent, as an expression."""
    return f"replaceRegexpAll(query, {quote_string(_ADDED)}, {_GROUPS})"


def _seen() -> dict[str, str]:
    """The columns that clients see otherwise."""
    return {"query_id": _ID, "initial_query_id": _ID, "query": clean_query()}


def create_views(engine: Engine) -> None:
    """Make the view. The engine keeps its ``system`` database in memory, so at every start."""
    columns = "* REPLACE (" + ", ".join(f"{value} AS {name}" for name, value in _seen().items()) + ")"
    engine.text(f"CREATE OR REPLACE VIEW system.{_VIEW.decode()} AS SELECT {columns} FROM system.processes")  # noqa: S608 - constants


def with_views(statement: Statement, columns: frozenset[str]) -> Statement:
    """The statement reading what clients see instead of the table.

    Args:
        columns: all of the table.
    """
    text = statement.text
    if _TABLE not in text and not (statement.verb == "SHOW" and b"processlist" in text.lower()):
        return statement
    return _rewritten(text, statement.verb, columns) or statement


@remembering
def _rewritten(text: bytes, verb: str, columns: Collection[str]) -> Statement | None:
    if verb == "SHOW" and (shown := _process_list(text)):
        return shown
    names = [_Name(text, *token) for token in tokens(text)]
    places = [at for at in range(2, len(names)) if [one.text for one in names[at - 2 : at + 1]] == _WHOLE]
    if not places:
        return None
    used = _columns_used(names, places, columns) if verb in _SELECTS else None
    parts: list[bytes] = []
    done = 0
    for at in places:
        first = names[at].start if used is None else names[at - 2].start
        parts += [text[done:first], _VIEW if used is None else _inline(used)]
        done = names[at].end
    return split_statement(b"".join([*parts, text[done:]]))


class _Name:
    """A token, with quotes of a name resolved."""

    def __init__(self, sql: bytes, kind: int, start: int, end: int) -> None:
        self.start, self.end = start, end
        self.is_name = kind in (WORD, QUOTED)
        self.text = identifier_text(sql, (kind, start, end)) if self.is_name else sql[start:end]


_WHOLE = [b"system", b".", _TABLE]
_NOT_ALONE = frozenset({b".", b"(", b"FINAL", b"SAMPLE"})


def _columns_used(names: Sequence[_Name], places: Sequence[int], columns: Collection[str]) -> list[str] | None:
    """The columns that a statement reads; ``None`` where it does not show them."""
    if sum(one.text == _TABLE for one in names) != len(places):
        return None
    for at in places:
        before = names[at - 3].text.upper() if at > 2 else b""
        after = names[at + 1].text.upper() if at + 1 < len(names) else b""
        if before not in (b"FROM", b"JOIN") or after in _NOT_ALONE:
            return None
    used = set()
    for at, one in enumerate(names):
        if (one.text == b"*" and names[at - 1].text != b"(") or one.text.upper() == b"COLUMNS":
            return None
        name = one.text.decode("utf-8", "replace")
        if one.is_name and name in columns:
            if at + 1 < len(names) and names[at + 1].text == b".":
                return None
            used.add(name)
    return sorted(used)


def _inline(used: Sequence[str]) -> bytes:
    """The table with these columns alone."""
    seen = _seen()
    if not seen.keys() & set(used):
        return b"system." + _TABLE
    shown = ", ".join(f"{seen[name]} AS {name}" if name in seen else name for name in used)
    return f"{_BEGIN}(SELECT {shown} FROM system.processes)".encode()  # noqa: S608 - constants, and names of columns


def _process_list(text: bytes) -> Statement | None:
    found = list(tokens(text))
    if len(found) < 2 or text[found[1][1] : found[1][2]].upper() != b"PROCESSLIST":
        return None
    select = b"SELECT * FROM system." + _VIEW + b" ORDER BY elapsed DESC"
    return split_statement(select + text[found[1][2] :])
