"""The net below the rewriter: what it must never do, looked for in what it did."""

from __future__ import annotations

import ast
from collections import Counter

from test_framework.migration.rewriter.mocks import ASSERTIONS
from test_framework.migration.rewriter.modules import imported_names

__all__ = ["assertions_of", "trouble", "troubles"]

Function = ast.FunctionDef | ast.AsyncFunctionDef


def trouble(before: str, after: str) -> str | None:
    """Why the rewritten file must not be handed out; ``None`` when all is well."""
    return next(iter(troubles(before, after).values()), None)


def troubles(before: str, after: str) -> dict[str, str]:
    """What went wrong, by the test or fixture that it went wrong in; under an empty name what concerns the file."""
    try:
        old, new = ast.parse(before), ast.parse(after)
        compile(after, "<rewritten>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError) as error:
        return {"": f"the result does not compile: {error}"}
    was, now = _tests(old), _tests(new)
    if was.keys() != now.keys():
        return {"": "a test would be lost"}
    found: dict[str, str] = {}
    for name, function in was.items():
        scope = name.partition("#")[0]
        if assertions_of(now[name]) < assertions_of(function):
            found[scope] = f"{scope} would lose an assertion"
        elif _is_empty(now[name]) and not _is_empty(function):
            found[scope] = f"{scope} would become empty"
        elif lost := _unbound(function, now[name], new):
            found[scope] = f"{scope} would miss {', '.join(sorted(lost))}"
    gone = _other_functions(old) - _other_functions(new)
    for scope, node in _named(old):
        if gone[scope] and assertions_of(node):
            found[""] = f"{scope} asserts something and would be lost"
    return found


def _unbound(before: Function, after: Function, module: ast.Module) -> set[str]:
    """Names that were the function's own, are so no more, and are still read."""
    top = {node.id for node in ast.walk(module) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    top |= set(imported_names(module, ""))
    read = {node.id for node in ast.walk(after) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    return (_bound(before) - _bound(after)) & read - top


def _bound(function: Function) -> set[str]:
    found = {node.id for node in ast.walk(function) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    for node in ast.walk(function):
        if isinstance(node, ast.arg):
            found.add(node.arg)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
    return found


def assertions_of(node: ast.AST) -> int:
    """``assert`` statements, assertions of mocks and of unittest, ``pytest.raises`` and its kin."""
    count = 0
    for part in ast.walk(node):
        if isinstance(part, ast.Assert):
            count += 1
        elif isinstance(part, ast.Call) and isinstance(part.func, ast.Attribute):
            name = part.func.attr
            count += (
                name in ASSERTIONS
                or name in ("raises", "warns", "fail")
                or (name.startswith("assert") and name[6:7].isupper())
            )
    return count


def _tests(tree: ast.Module) -> dict[str, Function]:
    found: dict[str, Function] = {}
    seen: Counter[str] = Counter()
    for scope, node in _functions(tree):
        if node.name.startswith("test"):
            seen[scope] += 1
            found[f"{scope}#{seen[scope]}"] = node
    return found


def _functions(tree: ast.Module) -> list[tuple[str, Function]]:
    found: list[tuple[str, Function]] = []
    waiting: list[tuple[str, ast.AST]] = [("", tree)]
    while waiting:
        prefix, node = waiting.pop()
        for child in ast.iter_child_nodes(node):
            if isinstance(child, Function):
                found.append((f"{prefix}{child.name}", child))
            if isinstance(child, ast.ClassDef):
                waiting.append((f"{prefix}{child.name}.", child))
            elif isinstance(child, ast.If | ast.Try | ast.With):
                waiting.append((prefix, child))
    return found


def _other_functions(tree: ast.Module) -> Counter[str]:
    return Counter(scope for scope, node in _functions(tree) if not node.name.startswith("test"))


def _named(tree: ast.Module) -> list[tuple[str, Function]]:
    return [(scope, node) for scope, node in _functions(tree) if not node.name.startswith("test")]


def _is_empty(node: Function) -> bool:
    return all(
        isinstance(each, ast.Pass) or (isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant))
        for each in node.body
    )
