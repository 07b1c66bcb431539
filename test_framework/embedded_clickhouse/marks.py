"""How the endpoint finds a query among those of the engine: by a comment in front of its text.

A setting could mark it as well, but would have to be set for each query of a session, and kept every other from using a
connection again. The engine keeps the text of a query as it was given, and nothing of it depends on comments.
"""

from __future__ import annotations

__all__ = ["MARKER", "UNMARKED", "marked"]

_BEGIN, _END = "/*q:", "*/"
_IS_MARKED = f"startsWith(query, '{_BEGIN}')"
#: The marker of a row of ``system.processes``, empty for the engine's own, as an expression.
MARKER = f"if({_IS_MARKED}, substring(query, {len(_BEGIN) + 1}, position(query, '{_END}') - {len(_BEGIN) + 1}), '')"
#: The text of that row without its mark.
UNMARKED = f"if({_IS_MARKED}, substring(query, position(query, '{_END}') + {len(_END)}), query)"


def marked(sql: bytes, marker: str) -> bytes:
    """``sql`` with a mark; places in syntax errors count with it."""
    return f"{_BEGIN}{marker}{_END}".encode() + sql
