"""How statements that are put in are laid out, and which comments of those that go are kept."""

from __future__ import annotations

import ast
from collections.abc import Sequence

import libcst as cst

__all__ = ["folded", "is_docstring", "worth_keeping"]


_WIDTH = 100


def folded(line: str) -> str:
    """A statement that would be too long a line, on several."""
    if len(line) <= _WIDTH or "\n" in line:
        return line
    statement = ast.parse(line).body[0]
    call = statement.value if isinstance(statement, ast.Expr) else None
    inner = call.value if isinstance(call, ast.Await) else call
    if isinstance(inner, ast.Call):
        head = line[: inner.func.end_col_offset]
        parts = [ast.get_source_segment(line, each) or "" for each in inner.args]
        parts += [f"{each.arg}={ast.get_source_segment(line, each.value)}" for each in inner.keywords]
        return f"{head}(\n    " + ", ".join(parts) + "\n)"
    if isinstance(statement, ast.Assert) and isinstance(statement.test, ast.Compare):
        left = ast.get_source_segment(line, statement.test.left) or ""
        return f"assert (\n    {left}\n    {line[7 + len(left) :].strip()}\n)"
    return line


def is_docstring(node: cst.CSTNode) -> bool:
    return (
        isinstance(node, cst.SimpleStatementLine)
        and isinstance(node.body[0], cst.Expr)
        and isinstance(node.body[0].value, cst.SimpleString | cst.ConcatenatedString)
    )


def worth_keeping(lines: Sequence[cst.EmptyLine], node: cst.CSTNode, *, function: bool) -> list[cst.EmptyLine]:
    """Comments above and behind a statement that goes; blank lines only where a comment follows them."""
    if function:
        return []
    kept = list(lines) if any(line.comment for line in lines) else []
    trailing = getattr(node, "trailing_whitespace", None)
    if trailing is not None and trailing.comment is not None:
        kept.append(cst.EmptyLine(comment=trailing.comment))
    return kept
