"""What a file stands on: conftests above it, modules beside it, the tables of the seed, pytest's configuration."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from test_framework.migration.rewriter.modules import Library, Module, read_module
from test_framework.migration.rewriter.schema import Schema, load_schema, shipped_schema

__all__ = ["Context"]

_ENDS = ("pyproject.toml", "setup.py", "setup.cfg", "pytest.ini", "tox.ini", ".git")
_CONFIGURATION = ("pyproject.toml", "pytest.ini", "tox.ini", "setup.cfg")


@dataclass(frozen=True)
class Context:
    """Of one file.

    Args:
        name: the module's dotted name, as its tests call it.
        roots: directories that imports are looked up in.
        conftests: the nearest one last.
        asyncio_auto: pytest-asyncio runs coroutines without a mark.
        application: what ``real_services_app`` names; empty: the reference service.
    """

    name: str = "test_module"
    roots: tuple[Path, ...] = ()
    conftests: tuple[Module, ...] = ()
    schema: Schema = field(default_factory=Schema)
    asyncio_auto: bool = False
    application: str = ""

    @classmethod
    def of(cls, path: Path, *, root: Path | None = None, fixtures: Path | None = None) -> Context:
        """Look around a file.

        Args:
            root: the project's top directory; found by its usual files when not given.
            fixtures: directory of a seed of the project's own (``postgres/*.sql``), next to the shipped one.
        """
        path = path.absolute()
        top = root.absolute() if root is not None else _top(path.parent)
        above = [path.parent, *(each for each in path.parent.parents if each == top or top in each.parents)]
        roots = tuple(dict.fromkeys([*above, top / "src", top]))
        conftests = [
            found
            for each in reversed(above)
            if (each / "conftest.py") != path and (found := read_module(each / "conftest.py", f"conftest@{each.name}"))
        ]
        tables = dict(shipped_schema("postgres").tables)
        for folder in (fixtures, top / "fixtures", top / "tests" / "fixtures"):
            if folder is not None and (folder / "postgres").is_dir():
                tables.update(load_schema(sorted((folder / "postgres").glob("*.sql"))).tables)
        return cls(path.stem, roots, tuple(conftests), Schema(tables), _is_auto(top), _application(top))

    def library(self) -> Library:
        return Library(self.roots)


def _top(start: Path) -> Path:
    for each in (start, *start.parents):
        if any((each / name).exists() for name in _ENDS):
            return each
    return start


def _settings(top: Path) -> Iterator[str]:
    """The lines of pytest's configuration."""
    for name in _CONFIGURATION:
        with contextlib.suppress(OSError, UnicodeDecodeError):
            yield from (top / name).read_text("utf-8").splitlines()


def _is_auto(top: Path) -> bool:
    return any("asyncio_mode" in line and "auto" in line for line in _settings(top))


def _application(top: Path) -> str:
    for line in _settings(top):
        name, _, value = line.partition("=")
        if name.strip() == "real_services_app":
            return value.strip().strip("\"'")
    return ""
