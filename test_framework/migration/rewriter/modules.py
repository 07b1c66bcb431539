"""The code that tests call: modules whose source is within sight, by name."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

__all__ = ["Library", "Module", "imported_names"]

_LARGEST = 2_000_000


@dataclass(eq=False)
class Module:
    """One parsed source file. ``imports`` maps each imported name to its dotted origin."""

    name: str
    tree: ast.Module
    path: Path | None = None
    cache: dict[str, object] = field(default_factory=dict)

    @cached_property
    def imports(self) -> dict[str, str]:
        return imported_names(self.tree, self.name, is_package=self.path is not None and self.path.stem == "__init__")

    @cached_property
    def definitions(self) -> dict[str, ast.stmt]:
        """Functions, classes and assignments of the module's top level; the last one of each name."""
        found: dict[str, ast.stmt] = {}
        for statement in _top_level(self.tree.body):
            if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                found[statement.name] = statement
            elif isinstance(statement, ast.Assign):
                found.update({each.id: statement for each in statement.targets if isinstance(each, ast.Name)})
            elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name) and statement.value:
                found[statement.target.id] = statement
        return found


def _top_level(body: list[ast.stmt]) -> list[ast.stmt]:
    found: list[ast.stmt] = []
    for statement in body:
        found.append(statement)
        if isinstance(statement, ast.If):
            found += [*_top_level(statement.body), *_top_level(statement.orelse)]
        elif isinstance(statement, ast.Try):
            found += _top_level(statement.body)
    return found


def imported_names(tree: ast.Module, name: str, *, is_package: bool = False) -> dict[str, str]:
    """Names that the import statements of the whole file bind, with what they mean."""
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                found[alias.asname or alias.name.split(".")[0]] = (
                    alias.name if alias.asname else alias.name.split(".")[0]
                )
        elif isinstance(node, ast.ImportFrom):
            origin = _origin(node, name, is_package=is_package)
            for alias in node.names:
                if alias.name != "*":
                    found[alias.asname or alias.name] = f"{origin}.{alias.name}" if origin else alias.name
    return found


def _origin(node: ast.ImportFrom, name: str, *, is_package: bool) -> str:
    if not node.level:
        return node.module or ""
    parts = name.split(".")
    keep = len(parts) - node.level + (1 if is_package else 0)
    return ".".join([*parts[: max(keep, 0)], *([node.module] if node.module else [])])


class Library:
    """Finds modules by their dotted names below some directories, nearest first."""

    def __init__(self, roots: tuple[Path, ...] = ()) -> None:
        self.roots = roots
        self._found: dict[str, Module | None] = {}

    def add(self, module: Module) -> None:
        self._found[module.name] = module

    @property
    def known(self) -> list[Module]:
        """The modules that were looked up and are there."""
        return [module for module in self._found.values() if module is not None]

    def find(self, name: str) -> Module | None:
        """The module called ``name``, if a readable source file of ours is there."""
        if not name:
            return None
        if name not in self._found:
            self._found[name] = self._read(name)
        return self._found[name]

    def _read(self, name: str) -> Module | None:
        parts = name.split(".")
        if not all(part.isidentifier() for part in parts):
            return None
        for root in self.roots:
            base = root.joinpath(*parts)
            for path in (base.with_suffix(".py"), base / "__init__.py"):
                module = read_module(path, name)
                if module is not None:
                    return module
        return None


def read_module(path: Path, name: str) -> Module | None:
    """The file as a module; ``None`` when it cannot be read or parsed."""
    try:
        if not path.is_file() or path.stat().st_size > _LARGEST:
            return None
        return Module(name, ast.parse(path.read_bytes()), path)
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return None
