"""A file after its tests were changed: what they need is defined and imported, what nobody needs any more goes."""

from __future__ import annotations

import ast
from collections.abc import Set as AbstractSet

from test_framework.migration.rewriter.edits import Edits, Positions, apply
from test_framework.migration.rewriter.imports import add_statements, is_standard, remove_unused, used_names
from test_framework.migration.rewriter.local_fixtures import IMPORTS, local_fixture
from test_framework.migration.rewriter.mocks import makes_mocks
from test_framework.migration.rewriter.modules import Module
from test_framework.migration.rewriter.reading import Function

__all__ = ["finished"]


def finished(text: str, before: ast.Module, fixtures: AbstractSet[str], *, anyio: bool) -> str:
    """The file as it is handed out.

    Args:
        fixtures: names of those that it defines for itself.
        anyio: anyio's plugin runs its coroutines.
    """
    new = ast.parse(text)
    defined = {node.name for node in ast.walk(new) if isinstance(node, Function)}
    definitions = "\n\n".join(local_fixture(name, anyio=anyio) for name in sorted(fixtures - defined))
    text = add_statements(text, [], definitions) if definitions else text
    new = ast.parse(text)
    bound = set(Module("", new).imports) | set(Module("", new).definitions)
    read = {node.id for node in ast.walk(new) if isinstance(node, ast.Name)}
    needed = [line for name, line in IMPORTS.items() if name in read and name not in bound]
    for standard in (False, True):
        text = add_statements(text, [line for line in needed if is_standard(line) is standard], "")
    imports = Module("", before).imports
    text = _without_helpers(text, before, imports)
    return remove_unused(text, (used_names(before) - used_names(ast.parse(text))) & set(imports))


def _without_helpers(text: str, before: ast.Module, imports: dict[str, str]) -> str:
    """Functions that only made mocks go with their last use."""
    tree, positions = ast.parse(text), Positions(text)
    gone = used_names(before) - used_names(tree)
    edits = Edits()
    for node in tree.body:
        if isinstance(node, Function) and node.name in gone and makes_mocks(node, imports):
            edits.delete.add(positions.of(node))
    return apply(text, edits) if edits.delete else text
