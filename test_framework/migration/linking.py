"""All files together: what names from other files mean, which fixtures are mocks, and who asks for those."""

from __future__ import annotations

from collections.abc import Iterable

from test_framework.migration import catalog
from test_framework.migration.facts import FileFacts, RawUse, Request
from test_framework.migration.fixture_graph import FixtureGraph, Mocked
from test_framework.migration.model import Category, FileReport, Form, MockUse
from test_framework.migration.modules import Modules
from test_framework.migration.rewritable import is_rewritable

__all__ = ["Linker", "renamed"]

UNMISTAKABLE = frozenset(
    (
        "MagicMock",
        "AsyncMock",
        "PropertyMock",
        "NonCallableMock",
        "NonCallableMagicMock",
        "create_autospec",
        "mock_open",
    )
)
"""Names that mean a mock even when the module that they come from cannot be found."""
OBJECTS = {"mocker": catalog.MOCKER, "monkeypatch": catalog.MONKEYPATCH}


class Linker:
    """Turns facts into reports."""

    def __init__(self, modules: Modules, graph: FixtureGraph) -> None:
        self.modules = modules
        self.graph = graph

    def report(self, path: str, shown: str, facts: FileFacts) -> FileReport:
        """The report on one file; ``shown`` is its path in the report."""
        if facts.error is not None:
            return FileReport(shown, (), 0, facts.lines, facts.error)
        uses = [_use(raw, shown) for raw in facts.uses if self.holds(raw, path)]
        for fixture in facts.fixtures:
            if (mocked := self.graph.mocked(fixture, path)) is not None:
                where = RawUse(
                    fixture.line, fixture.column, fixture.end_line, "fixture", Form.FIXTURE.value, fixture.name,
                    mocked.category, f"it returns a mock: {mocked.evidence}", fixture.scope,
                )  # fmt: skip
                uses.append(_use(where, shown))
        own = {fixture.scope: fixture for fixture in facts.fixtures}
        for request in facts.requests:
            asker = own.get(request.scope) if request.own else None
            mocked = self.graph.asked(request.name, path, request.cls, asker) or _fake_files(request)
            if mocked is not None:
                uses.append(_use(_asked(request, mocked), shown))
        uses.sort(key=lambda use: (use.line, use.column, use.kind))
        automatic = self.graph.automatic(path) if facts.tests else ()
        return FileReport(shown, tuple(uses), facts.tests, facts.lines, None, automatic)

    def holds(self, use: RawUse, path: str) -> bool:
        """Whether what a use depends on elsewhere turns out as it looks."""
        if use.via:
            meaning = self.modules.meaning(use.via, path)
            if meaning is not None:
                known = catalog.known(meaning)
                return known is not None and known.kind == use.kind
            if self.modules.split(use.via, path) is None:
                return _speaks_for_itself(use.via.lower(), use.via.split("."))
            place = self.modules.answer(use.via, path)
            return place is not None and any(atom.ref in ("freezegun", "time-machine") for atom in place[1])
        if use.fixture:
            return self.is_plugins(use.fixture, use.scope, path)
        return True

    def is_plugins(self, name: str, scope: str, path: str) -> bool:
        """Whether a fixture of a plugin's name is the plugin's: the tree may define another of that name."""
        cls = scope.rpartition(".")[0]
        place = self.graph.lookup(name, path, cls)
        if place is None or name in OBJECTS:
            return place is None or not any(atom.ref in LIBRARIES for atom in place[1].atoms)
        return name not in catalog.PLUGIN_FIXTURES or any(
            atom.ref == name or atom.tag == "mock" for atom in place[1].atoms
        )


def _speaks_for_itself(via: str, parts: list[str]) -> bool:
    """Whether a name from a module that cannot be found is a mock all the same: ``async_mock.patch``."""
    return any(part in UNMISTAKABLE or part == "freeze_time" for part in parts) or "mock" in via.rpartition(".")[0]


def _fake_files(request: Request) -> Mocked | None:
    if request.name != "fs" or request.category != Category.FILESYSTEM:
        return None
    return Mocked(0, "pyfakefs", Category.FILESYSTEM.value, "the fixture fs of pyfakefs")


def _asked(request: Request, mocked: Mocked) -> RawUse:
    category, evidence = mocked.category, f"the fixture {request.name}: {mocked.evidence}"
    if category in ("", Category.OTHER) and request.category != Category.OTHER:
        category, evidence = request.category, request.evidence
    kind = catalog.PLUGIN_FIXTURES.get(request.name, ("fixture",))[0] if mocked.kind in LIBRARIES else "fixture"
    return RawUse(
        request.line, request.column, request.end_line, kind, Form.PARAMETER.value, request.name,
        category or Category.OTHER.value, evidence, request.scope,
    )  # fmt: skip


FORMS = {form.value: form for form in Form}
CATEGORIES = {category.value: category for category in Category}
LIBRARIES = frozenset(kind for kind, _ in catalog.PLUGIN_FIXTURES.values())


def _use(raw: RawUse, path: str) -> MockUse:
    form, category = FORMS[raw.form], CATEGORIES[raw.category or "other"]
    return MockUse(
        path, raw.line, raw.column, raw.end_line, raw.kind, form, raw.target, category, raw.evidence, raw.scope,
        is_rewritable(raw.kind, form, category),
    )  # fmt: skip


def renamed(modules: Modules, paths: Iterable[str]) -> dict[str, dict[str, str]]:
    """The names of mocks from other files that do not tell what they are: dotted name → what it is, by file."""
    exported: set[str] = set()
    paths = list(paths)
    for path in paths:
        for name, dotted in modules.files[path].names.items():
            telling = name in catalog.HINTS and dotted.endswith(name)
            if not telling and (catalog.is_mock_module(dotted) is not None or catalog.known(dotted)):
                exported.add(name)
    found: dict[str, dict[str, str]] = {}
    if not exported:
        return found
    for path in paths:
        for dotted in modules.files[path].names.values():
            last = dotted.rpartition(".")[2]
            if (
                last in exported
                and not catalog.known(dotted)
                and (meaning := modules.meaning(dotted, path)) is not None
            ):
                found.setdefault(path, {})[dotted] = meaning
    return found
