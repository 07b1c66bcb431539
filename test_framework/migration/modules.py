"""Where a module named in one file lies in the tree, and what a name in it stands for."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable, Iterator
from functools import lru_cache
from os.path import commonpath

from test_framework.migration import catalog
from test_framework.migration.facts import Atom, FileFacts

__all__ = ["Modules", "folder_of"]

DEPTH = 12
Load = Callable[[str], FileFacts | None]


class Modules:
    """The files of the tree by module name. Files outside of it are read when a name leads to them.

    Args:
        files: facts by absolute posix path.
        top: the folder above which nothing is looked for.
        load: reads a file outside of the scanned paths, or answers None.
    """

    def __init__(self, files: dict[str, FileFacts], top: str, load: Load) -> None:
        self.files = files
        self.top = top
        self.load = load
        self.by_last: dict[str, list[str]] = {}
        for path in files:
            self.by_last.setdefault(_last(path), []).append(path)
        self.found: dict[tuple[str, str], str | None] = {}
        self.listed: dict[str, frozenset[str]] = {}

    def facts(self, path: str) -> FileFacts | None:
        """The facts of a file, read now if it lies outside of the scanned paths."""
        if path not in self.files:
            loaded = self.load(path)
            if loaded is None:
                return None
            self.files[path] = loaded
            self.by_last.setdefault(_last(path), []).append(path)
        return self.files[path]

    def module(self, dotted: str, importer: str) -> str | None:
        """The file of a module as ``importer`` would name it, or None."""
        folder = folder_of(importer)
        key = (dotted, folder)
        if key not in self.found:
            self.found[key] = (
                self._relative(dotted, folder) if dotted.startswith(".") else self._absolute(dotted, folder)
            )
        return self.found[key]

    def exists(self, path: str) -> bool:
        """Whether a file is there and can be read, inside the scanned paths or not."""
        return posixpath.basename(path) in self._names(folder_of(path)) and self.facts(path) is not None

    def _relative(self, dotted: str, folder: str) -> str | None:
        rest = dotted.lstrip(".")
        for _ in range(len(dotted) - len(rest) - 1):
            folder = folder_of(folder)
        return self._at(posixpath.join(folder, *rest.split(".")) if rest else folder)

    def _at(self, stem: str) -> str | None:
        for path in (f"{stem}.py", f"{stem}/__init__.py"):
            if path in self.files or self.exists(path):
                return path
        return None

    def _absolute(self, dotted: str, folder: str) -> str | None:
        parts = dotted.split(".")
        tail = "/" + "/".join(parts)
        fitting = [path for path in self.by_last.get(parts[-1], ()) if _stem(path).endswith(tail)]
        if fitting:
            return max(fitting, key=lambda path: (len(commonpath((path, folder))), -len(path), path))
        for above in self._above(folder):
            names = self._names(above)
            if (parts[0] in names or f"{parts[0]}.py" in names) and (path := self._at(posixpath.join(above, *parts))):
                return path
        return None

    def _above(self, folder: str) -> Iterator[str]:
        while folder.startswith(self.top):
            yield folder
            if folder == folder_of(folder):
                return
            folder = folder_of(folder)

    def _names(self, folder: str) -> frozenset[str]:
        if folder not in self.listed:
            try:
                self.listed[folder] = frozenset(os.listdir(folder))  # noqa: PTH208 - names alone, for speed
            except OSError:
                self.listed[folder] = frozenset()
        return self.listed[folder]

    def split(self, dotted: str, importer: str) -> tuple[str, str] | None:
        """The file that a dotted name leads into and the rest of the name, or None."""
        dots = len(dotted) - len(dotted.lstrip("."))
        parts = dotted[dots:].split(".")
        for count in range(len(parts), -1 if dots else 0, -1):
            path = self.module("." * dots + ".".join(parts[:count]), importer)
            if path is not None:
                return path, ".".join(parts[count:])
        return None

    def meaning(self, dotted: str, importer: str, depth: int = 0) -> str | None:
        """The mock that a dotted name stands for, through any number of re-exports, or None."""
        if depth > DEPTH:
            return None
        if _is_mock(dotted):
            return dotted
        place = self.split(dotted, importer)
        if place is None or not place[1]:
            return None
        path, rest = place
        name, _, tail = rest.partition(".")
        given = self.given(path, name, depth)
        return None if given is None else f"{given}.{tail}" if tail else given

    def given(self, path: str, name: str, depth: int = 0) -> str | None:
        """The mock that ``name`` of a module stands for, or None."""
        facts = self.facts(path)
        if facts is None or depth > DEPTH:
            return None
        if (dotted := facts.names.get(name)) is not None:
            return self.meaning(dotted, path, depth + 1)
        for star in facts.stars:
            inner = self.module(star, path)
            if inner is not None and inner != path and (found := self.given(inner, name, depth + 1)):
                return found
        return None

    def answer(self, dotted: str, importer: str, depth: int = 0) -> tuple[str, list[Atom]] | None:
        """Where a function or class elsewhere is defined and what it returns or holds, or None."""
        place = self.split(dotted, importer) if depth <= DEPTH else None
        if place is None or not place[1]:
            return None
        path, name = place
        facts = self.facts(path)
        if facts is None:
            return None
        if name in facts.functions:
            return path, facts.functions[name]
        head, _, tail = name.partition(".")
        if (further := facts.names.get(head)) is not None:
            return self.answer(f"{further}.{tail}" if tail else further, path, depth + 1)
        for star in facts.stars:
            if (found := self.answer(f"{star}.{name}", path, depth + 1)) is not None:
                return found
        return None


@lru_cache(maxsize=65536)
def folder_of(path: str) -> str:
    """The folder a path lies in."""
    return posixpath.dirname(path)


def _is_mock(dotted: str) -> bool:
    return catalog.is_mock_module(dotted) is not None or catalog.known(dotted) is not None or dotted in catalog.ROOTS


def _stem(path: str) -> str:
    return path.removesuffix("/__init__.py").removesuffix(".py")


def _last(path: str) -> str:
    return posixpath.basename(_stem(path))
