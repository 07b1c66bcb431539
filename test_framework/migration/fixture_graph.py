"""Which fixture a name means where, by pytest's rules, and whether that fixture's value is a mock or holds one."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from test_framework.migration import catalog
from test_framework.migration.categories import SERVICES
from test_framework.migration.facts import Atom, FileFacts, FixtureFact
from test_framework.migration.model import Category
from test_framework.migration.modules import Modules, folder_of

__all__ = ["FixtureGraph", "Mocked"]

HELD = 2
"""How many objects deep a mock is looked for: a client of a service of a mock counts, what holds that does not."""
DEPTH = 40
HOLDING = frozenset(("holds", "given"))


class Mocked(NamedTuple):
    """That a fixture's value is a mock, or (``depth`` objects deep) holds one."""

    depth: int
    kind: str
    category: str
    evidence: str


class FixtureGraph:
    """All fixtures of a tree.

    Args:
        modules: every file.
        top: conftest files above this folder do not count.
    """

    def __init__(self, modules: Modules, top: str) -> None:
        self.modules = modules
        self.top = top
        self.tables: dict[str, dict[tuple[str, str], FixtureFact]] = {}
        self.known: dict[tuple[str, int], Mocked | None] = {}
        self.looked_up: dict[tuple[str, str, str], tuple[str, FixtureFact] | None] = {}
        self.conftests: dict[str, tuple[str, ...]] = {}
        self.plugins = self._plugins()

    def _plugins(self) -> tuple[str, ...]:
        found: dict[str, None] = {}
        for path, facts in list(self.modules.files.items()):
            for name in facts.plugins:
                if (file := self.modules.module(name, path)) is not None:
                    found[file] = None
        return tuple(found)

    def table(self, path: str) -> dict[tuple[str, str], FixtureFact]:
        """A file's fixtures by class and name; the last definition of a name is the one that holds."""
        if path not in self.tables:
            facts = self.modules.facts(path)
            fixtures: Iterable[FixtureFact] = facts.fixtures if facts is not None else ()
            self.tables[path] = {(one.cls, one.name): one for one in fixtures}
        return self.tables[path]

    def lookup(self, name: str, path: str, cls: str, own: FixtureFact | None = None) -> tuple[str, FixtureFact] | None:
        """The fixture that ``name`` means in ``cls`` of ``path``; to a fixture of that name, the one it overrides."""
        if own is not None:
            passed = False
            for file, fixture in self._candidates(name, path, cls):
                if passed:
                    return file, fixture
                passed = file == path and fixture.line == own.line
            return None
        key = (name, path, cls)
        if key not in self.looked_up:
            self.looked_up[key] = next(self._candidates(name, path, cls), None)
        return self.looked_up[key]

    def _candidates(self, name: str, path: str, cls: str) -> Iterator[tuple[str, FixtureFact]]:
        around = cls
        while around:
            yield from self._in_class(name, path, around, 0)
            around = around.rpartition(".")[0]
        yield from self._in_module(name, path, 0)
        for conftest in self.above(path):
            if conftest != path:
                yield from self._in_module(name, conftest, 0)
        for plugin in self.plugins:
            yield from self._in_module(name, plugin, 0)

    def _in_class(self, name: str, path: str, cls: str, depth: int) -> Iterator[tuple[str, FixtureFact]]:
        if (found := self.table(path).get((cls, name))) is not None:
            yield path, found
        facts = self.modules.facts(path)
        for base in facts.bases.get(cls, ()) if facts is not None and depth < DEPTH else ():
            if facts is not None and base in facts.bases:
                yield from self._in_class(name, path, base, depth + 1)
            elif "." in base and (place := self.class_of(base, path)) is not None:
                yield from self._in_class(name, *place, depth + 1)

    def class_of(self, dotted: str, importer: str, depth: int = 0) -> tuple[str, str] | None:
        """The file and name of a class, through re-exports."""
        place = self.modules.split(dotted, importer) if depth < DEPTH else None
        facts = self.modules.facts(place[0]) if place is not None else None
        if place is None or facts is None or not place[1]:
            return None
        if place[1] in facts.bases:
            return place
        further = facts.names.get(place[1])
        return self.class_of(further, place[0], depth + 1) if further else None

    def _in_module(self, name: str, path: str, depth: int) -> Iterator[tuple[str, FixtureFact]]:
        if (found := self.table(path).get(("", name))) is not None:
            yield path, found
        facts = self.modules.facts(path)
        if facts is None or depth > DEPTH:
            return
        if (dotted := facts.names.get(name)) is not None:
            place = self.modules.split(dotted, path)
            if place is not None and place[1] and place[0] != path:
                yield from self._in_module(place[1], place[0], depth + 1)
        for star in facts.stars:
            inner = self.modules.module(star, path)
            if inner is not None and inner != path:
                yield from self._in_module(name, inner, depth + 1)

    def above(self, path: str) -> tuple[str, ...]:
        """The conftest files that apply to ``path``, the nearest first."""
        folder = folder_of(path)
        if folder not in self.conftests:
            here = posixpath.join(folder, "conftest.py")
            own = (here,) if here in self.modules.files or self.modules.exists(here) else ()
            parent = folder_of(folder)
            outer = folder == parent or folder == self.top or not folder.startswith(self.top)
            self.conftests[folder] = own if outer else (*own, *self.above(folder))
        return self.conftests[folder]

    def mocked(self, fixture: FixtureFact, path: str, depth: int = 0) -> Mocked | None:
        """Whether the value of a fixture is a mock or holds one."""
        key = (path, fixture.line)
        if key in self.known or depth > DEPTH:
            return self.known.get(key)
        self.known[key] = None  # ends circles
        found = self._best(fixture.atoms, path, fixture, depth)
        named = fixture.category not in ("", Category.OTHER, Category.ENVIRONMENT)
        if found is not None and (named or (fixture.category and found.category == Category.OTHER)):
            found = found._replace(category=fixture.category, evidence=fixture.evidence)
        self.known[key] = found
        return found

    def _best(self, atoms: list[Atom], path: str, fixture: FixtureFact | None, depth: int) -> Mocked | None:
        answers = [self._of_atom(atom, path, fixture, depth) for atom in atoms]
        mocks = [answer for answer in answers if answer is not None and answer.depth <= HELD]
        if not mocks:
            return None
        best = min(mocks, key=lambda one: (one.depth, one.category == Category.OTHER))
        if best.category == Category.OTHER:
            telling = next((one for one in mocks if one.category in SERVICES or _tells(one, best)), best)
            best = best._replace(category=telling.category, evidence=telling.evidence)
        return best

    def _of_atom(self, atom: Atom, path: str, fixture: FixtureFact | None, depth: int) -> Mocked | None:
        found: Mocked | None = None
        if atom.tag == "mock":
            return Mocked(int(atom.strength in HOLDING), atom.ref, atom.category, atom.evidence)
        if atom.tag == "fixture" and fixture is not None:
            found = self.asked(atom.ref, path, fixture.cls, fixture, depth + 1)
        elif atom.tag == "call" and atom.strength != "name" and depth < DEPTH:
            place = self.modules.answer(atom.ref, path)
            found = self._best(place[1], place[0], None, depth + 1) if place is not None else None
        if found is None or (atom.strength == "attribute" and found.depth):
            return None
        return found._replace(depth=found.depth + 1) if atom.strength in HOLDING else found

    def asked(self, name: str, path: str, cls: str, own: FixtureFact | None, depth: int = 0) -> Mocked | None:
        """What a test or fixture gets that asks for ``name``, when that is a mock or holds one."""
        place = self.lookup(name, path, cls, own if own is not None and own.name == name else None)
        if place is not None:
            return self.mocked(place[1], place[0], depth)
        if name in catalog.PLUGIN_FIXTURES and name != "fs":
            kind = catalog.PLUGIN_FIXTURES[name][0]
            return Mocked(0, kind, catalog.LIBRARY_CATEGORIES[kind].value, f"the fixture {name} of {kind}")
        return None

    def automatic(self, path: str) -> tuple[str, ...]:
        """Autouse fixtures that are mocks and reach the tests of ``path``."""
        names: dict[str, None] = {}
        for file in (path, *self.above(path), *self.plugins):
            facts: FileFacts | None = self.modules.facts(file)
            for fixture in facts.fixtures if facts is not None else ():
                if fixture.autouse and self.mocked(fixture, file) is not None:
                    names[fixture.name] = None
        return tuple(names)


def _tells(one: Mocked, best: Mocked) -> bool:
    """Whether one of several mocks says what a fixture is of: what lies deeper does not."""
    return one.depth == best.depth and one.category != Category.OTHER
