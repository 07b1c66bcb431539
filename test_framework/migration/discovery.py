"""Which files a scan reads: Python files below the given paths, without what Git ignores and environments."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pathspec import GitIgnoreSpec

__all__ = ["Found", "discover", "is_test_path", "repository_of"]

SKIPPED = frozenset(("__pycache__", "node_modules", "site-packages", "dist-packages", "__pypackages__", "virtualenv"))
_TEST_NAME = re.compile(r"(^test_|_test\.pyi?$|^tests?\.py$|^test.*\.py$|_tests\.py$|^conftest\.py$)")
_TEST_FOLDER = re.compile(r"^(tests?|testing|unittests?|integration_tests?|e2e|spec|specs|functional|unit|t)$")


@dataclass(slots=True)
class Found:
    """The files to read and the folders that could not be listed, with the reason."""

    files: list[Path] = field(default_factory=list)
    failed: list[tuple[Path, str]] = field(default_factory=list)


def is_test_path(path: str) -> bool:
    """Whether functions called ``test…`` in this file are tests: by its name or by a folder's."""
    parts = path.replace("\\", "/").split("/")
    return bool(_TEST_NAME.search(parts[-1])) or any(_TEST_FOLDER.match(part) for part in parts[:-1])


def repository_of(path: Path) -> Path | None:
    """The working copy that ``path`` lies in, or None."""
    for folder in (path, *path.parents):
        if (folder / ".git").exists():
            return folder
    return None


def discover(paths: Sequence[Path], *, exclude: Sequence[str] = ()) -> Found:
    """The Python files below ``paths``, each once, in order.

    A file that is named is always read. Links to folders are not followed, so no circle can catch the walk; a link to a
    file is read unless the file lies below ``paths`` itself.

    Args:
        exclude: patterns as in ``.gitignore``, relative to each given folder.
    """
    found, seen = Found(), set[str]()
    for path in paths:
        if path.is_dir():
            _Walk(path, exclude, found, seen).run()
        elif (real := os.path.realpath(path)) not in seen:
            seen.add(real)
            found.files.append(path)
    found.files.sort(key=lambda file: file.as_posix())
    return found


class _Walk:
    """One given folder."""

    def __init__(self, top: Path, exclude: Sequence[str], found: Found, seen: set[str]) -> None:
        self.top = top
        self.found = found
        self.seen = seen
        self.links: list[str] = []
        self.rules: list[tuple[str, GitIgnoreSpec]] = []
        real = os.path.realpath(top)
        self.real = real
        if exclude:
            self.rules.append((real, GitIgnoreSpec.from_lines(exclude)))
        self.git = repository_of(Path(real))
        if self.git is not None:
            self.read_rules(self.git / ".git" / "info" / "exclude", str(self.git))
            for folder in reversed(Path(real).parents):
                if folder == self.git or self.git in folder.parents:
                    self.read_rules(folder / ".gitignore", str(folder))

    def run(self) -> None:
        self.folder(str(self.top), self.real)
        for name in self.links:
            real = os.path.realpath(name)
            if real not in self.seen and Path(real).is_file():
                self.seen.add(real)
                self.found.files.append(Path(name))

    def read_rules(self, file: Path, base: str) -> bool:
        try:
            text = file.read_text("utf-8", "replace")
        except (OSError, ValueError):
            return False
        self.rules.append((base, GitIgnoreSpec.from_lines(text.splitlines())))
        return True

    def folder(self, name: str, real: str) -> None:
        """Everything below one folder; ``real`` is its path without links, which rules are relative to."""
        try:
            with os.scandir(name) as scanned:
                entries = sorted(scanned, key=lambda entry: entry.name)
        except OSError as error:
            self.found.failed.append((Path(name), f"cannot be listed: {error.strerror or error}"))
            return
        names = {entry.name for entry in entries}
        if "pyvenv.cfg" in names and name != str(self.top):
            return
        added = ".gitignore" in names and self.git is not None and self.read_rules(Path(name, ".gitignore"), real)
        for entry in entries:
            self.entry(entry, f"{real.rstrip('/')}/{entry.name}")
        if added:
            self.rules.pop()

    def entry(self, entry: os.DirEntry[str], real: str) -> None:
        if entry.is_symlink():
            if entry.name.endswith(".py") and not self.ignored(real):
                self.links.append(entry.path)
        elif entry.is_dir(follow_symlinks=False):
            if not entry.name.startswith(".") and entry.name not in SKIPPED and not self.ignored(real + "/"):
                self.folder(entry.path, real)
        elif entry.name.endswith(".py") and entry.is_file(follow_symlinks=False) and real not in self.seen:
            if not self.ignored(real):
                self.found.files.append(Path(entry.path))
            self.seen.add(real)

    def ignored(self, real: str) -> bool:
        """The rule file nearest to the path decides first, as in Git."""
        for base, spec in reversed(self.rules):
            if real.startswith(base + "/"):
                answer = spec.check_file(real[len(base) + 1 :]).include
                if answer is not None:
                    return answer
        return False


def ancestors(folder: Path, top: Path | None) -> Iterator[Path]:
    """``folder`` and the folders above it, up to ``top``."""
    for one in (folder, *folder.parents):
        yield one
        if top is None or one == top:
            return


def common_root(paths: Iterable[Path]) -> Path:
    """The folder that all ``paths`` lie in."""
    folders = [path if path.is_dir() else path.parent for path in paths]
    return Path(os.path.commonpath([str(folder.absolute()) for folder in folders]))
