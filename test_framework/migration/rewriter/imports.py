"""Imports after a rewrite: those that nobody needs any more go, those that are needed come."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable

import libcst as cst

__all__ = ["add_statements", "is_standard", "remove_unused", "used_names"]


def used_names(tree: ast.AST) -> set[str]:
    """Names that are read somewhere, also in ``__all__`` and in annotations written as text."""
    found = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier():
            found.add(node.value)
    return found


def remove_unused(source: str, gone: Iterable[str]) -> str:
    """Take the names of ``gone`` out of the file's import statements."""
    names = set(gone)
    if not names:
        return source
    module = cst.parse_module(source)
    changed = module.visit(_Remover(names))
    body = list(changed.body)
    if (
        body
        and not module.header
        and len(body) < len(module.body)
        and not any(each.comment for each in body[0].leading_lines)
    ):
        body[0] = body[0].with_changes(leading_lines=[])
    if len(body) > 1 and len(body) < len(module.body) and _after_docstring(body) and not body[1].leading_lines:
        body[1] = body[1].with_changes(leading_lines=[cst.EmptyLine()])
    return changed.with_changes(body=body).code


class _Remover(cst.CSTTransformer):
    def __init__(self, names: set[str]) -> None:
        super().__init__()
        self.names = names
        self.carried: list[cst.EmptyLine] = []

    def _kept(self, aliases: Iterable[cst.ImportAlias]) -> list[cst.ImportAlias]:
        return [each for each in aliases if _bound(each) not in self.names]

    def leave_ImportFrom(  # noqa: N802 - LibCST's naming
        self, original_node: cst.ImportFrom, updated_node: cst.ImportFrom
    ) -> cst.BaseSmallStatement | cst.RemovalSentinel:
        if isinstance(updated_node.names, cst.ImportStar):
            return updated_node
        kept = self._kept(updated_node.names)
        if len(kept) == len(updated_node.names):
            return updated_node
        return updated_node.with_changes(names=_ended(kept, updated_node)) if kept else cst.RemoveFromParent()

    def leave_Import(  # noqa: N802 - LibCST's naming
        self, original_node: cst.Import, updated_node: cst.Import
    ) -> cst.BaseSmallStatement | cst.RemovalSentinel:
        kept = self._kept(updated_node.names)
        if len(kept) == len(updated_node.names):
            return updated_node
        if not kept:
            return cst.RemoveFromParent()
        return updated_node.with_changes(names=[*kept[:-1], kept[-1].with_changes(comma=cst.MaybeSentinel.DEFAULT)])


def _ended(kept: list[cst.ImportAlias], node: cst.ImportFrom) -> list[cst.ImportAlias]:
    """The last one ends as the last one did."""
    assert not isinstance(node.names, cst.ImportStar)
    last = node.names[-1].comma if node.lpar is not None else cst.MaybeSentinel.DEFAULT
    return [*kept[:-1], kept[-1].with_changes(comma=last)]


def _bound(alias: cst.ImportAlias) -> str:
    if alias.asname is not None and isinstance(alias.asname.name, cst.Name):
        return alias.asname.name.value
    node: cst.BaseExpression = alias.name
    while isinstance(node, cst.Attribute):
        node = node.value
    return node.value if isinstance(node, cst.Name) else ""


def add_statements(source: str, imports: list[str], definitions: str) -> str:
    """Put ``imports`` before the file's first import, and ``definitions`` behind its last one."""
    if not imports and not definitions:
        return source
    module = cst.parse_module(source)
    body = list(module.body)
    places = [n for n, each in enumerate(body) if _is_import(each)]
    future = [n for n in places if "__future__" in module.code_for_node(body[n])]
    standard = bool(imports) and is_standard(imports[0])
    first = next((n for n in places if n not in future and (standard or not _is_standard(body[n]))), None)
    if definitions:
        made = cst.parse_module(definitions, module.config_for_parsing)
        at = (places[-1] + 1) if places else _after_docstring(body)
        extra = [each.with_changes(leading_lines=[cst.EmptyLine(), cst.EmptyLine()]) for each in made.body]
        body[at:at] = extra
        if at + len(extra) < len(body) and not getattr(body[at + len(extra)], "leading_lines", ()):
            follower = body[at + len(extra)]
            body[at + len(extra)] = follower.with_changes(leading_lines=[cst.EmptyLine(), cst.EmptyLine()])
    if imports:
        lines = [cst.parse_statement(each, module.config_for_parsing) for each in sorted(imports, key=_order)]
        at = first if first is not None else (places[-1] + 1 if places else _after_docstring(body))
        if first is not None:
            # Ours begin the group of what is installed.
            lines[0] = lines[0].with_changes(leading_lines=body[at].leading_lines)
            between = [cst.EmptyLine()] if standard and not _is_standard(body[at]) else []
            body[at] = body[at].with_changes(leading_lines=between)
        elif at:
            lines[0] = lines[0].with_changes(leading_lines=[cst.EmptyLine()])
        elif body:
            body[0] = body[0].with_changes(leading_lines=[cst.EmptyLine(), cst.EmptyLine(), *_comments(body[0])])
        body[at:at] = lines
    return module.with_changes(body=body).code


def is_standard(line: str) -> bool:
    """Whether a line imports a module of the standard library."""
    return line.split()[1].split(".")[0] in sys.stdlib_module_names


def _order(line: str) -> tuple[bool, str]:
    return line.startswith("from"), line


def _is_standard(node: cst.CSTNode) -> bool:
    """Whether an import statement is of the standard library."""
    assert isinstance(node, cst.SimpleStatementLine)
    statement = node.body[0]
    if isinstance(statement, cst.ImportFrom):
        if statement.relative or statement.module is None:
            return False
        name: cst.BaseExpression = statement.module
    elif isinstance(statement, cst.Import):
        name = statement.names[0].name
    else:
        return False
    while isinstance(name, cst.Attribute):
        name = name.value
    return isinstance(name, cst.Name) and name.value in sys.stdlib_module_names


def _comments(node: cst.CSTNode) -> list[cst.EmptyLine]:
    return [each for each in getattr(node, "leading_lines", ()) if each.comment]


def _is_import(node: cst.CSTNode) -> bool:
    return isinstance(node, cst.SimpleStatementLine) and any(
        isinstance(each, cst.Import | cst.ImportFrom) for each in node.body
    )


def _after_docstring(body: list[cst.BaseCompoundStatement | cst.SimpleStatementLine]) -> int:
    first = body[0] if body else None
    is_text = isinstance(first, cst.SimpleStatementLine) and isinstance(first.body[0], cst.Expr)
    return 1 if is_text else 0
