"""The mock libraries: what makes a mock, what patches, what a mock answers and asserts."""

from __future__ import annotations

import ast
from collections.abc import Mapping

__all__ = [
    "ASSERTIONS",
    "CALLS",
    "COUNTS",
    "dotted",
    "is_mock_class",
    "is_patch",
    "makes_mocks",
    "origin_of",
]

_LIBRARIES = ("unittest.mock", "mock", "asyncmock")
_CLASSES = frozenset({"Mock", "MagicMock", "AsyncMock", "NonCallableMock", "NonCallableMagicMock", "create_autospec"})
ASSERTIONS = frozenset(
    {
        "assert_called",
        "assert_called_once",
        "assert_called_with",
        "assert_called_once_with",
        "assert_any_call",
        "assert_has_calls",
        "assert_not_called",
        "assert_awaited",
        "assert_awaited_once",
        "assert_awaited_with",
        "assert_awaited_once_with",
        "assert_any_await",
        "assert_has_awaits",
        "assert_not_awaited",
    }
)
COUNTS = frozenset({"called", "call_count", "await_count", "awaited"})
CALLS = frozenset({"call_args", "await_args", "call_args_list", "await_args_list", "mock_calls"})


def dotted(node: ast.expr) -> str:
    """``a.b.c`` of a name or attribute; empty for anything else."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return ""
    return ".".join([node.id, *reversed(parts)])


def origin_of(node: ast.expr, imports: Mapping[str, str]) -> str:
    """The dotted origin of a name or attribute, by the file's imports."""
    name = dotted(node)
    head, _, rest = name.partition(".")
    if head not in imports:
        return name
    return f"{imports[head]}.{rest}" if rest else imports[head]


def _of_library(origin: str) -> str:
    for library in _LIBRARIES:
        if origin.startswith(f"{library}."):
            return origin[len(library) + 1 :]
    return ""


def is_mock_class(node: ast.expr, imports: Mapping[str, str]) -> str:
    """The class's name when ``node`` is a mock class, of a library or through pytest-mock's ``mocker``."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "mocker":
        return node.attr if node.attr in _CLASSES else ""
    name = _of_library(origin_of(node, imports))
    return name if name in _CLASSES else ""


def makes_mocks(node: ast.AST, imports: Mapping[str, str]) -> bool:
    """Whether a mock class is called in it."""
    return any(isinstance(each, ast.Call) and is_mock_class(each.func, imports) for each in ast.walk(node))


def is_patch(node: ast.expr, imports: Mapping[str, str]) -> str:
    """``patch``, ``patch.object`` … when ``node`` is one of them."""
    name = _of_library(origin_of(node, imports))
    return name if name == "patch" or name.startswith("patch.") else ""
