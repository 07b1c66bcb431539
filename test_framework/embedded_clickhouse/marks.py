"""How the endpoint finds a query among those of the engine: by a comment in front of its text.

A setting could mark it as well, but would have to be set for each query of a session, and kept every other from using a
connection again. The engine keeps the text of a query as it was given, and nothing of it depends on comments.
"""

from __future__ import annotations

__all__ = ["MARK", "MARKER", "marked"]

#: The comment as a regular expression, with the marker as its group.
MARK = "/[*]q:([^*]+)[*]/"
#: The marker of a row of ``system.processes``, empty for the engine's own, as an expression.
MARKER = f"extract(query, '^{MARK}')"


def marked(sql: bytes, marker: str) -> bytes:
    """``sql`` with a mark; places in syntax errors count with it."""
    return f"/*q:{marker}*/".encode() + sql
