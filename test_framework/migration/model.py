"""What a scan finds: uses of mocks, per file and for the whole tree.

A *use* is a place where a mock is made, put in place or taken: a call of ``Mock``, a ``patch`` in any form, a fixture
that returns a mock and each place that asks for that fixture, a canned answer given to a stand-in library. Setting or
asserting on a mock that exists already is not another use; neither are imports, annotations, strings and comments.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TypeVar

__all__ = ["Category", "Complexity", "FileReport", "Form", "MockUse", "TreeReport", "complexity_of"]

T = TypeVar("T")
SIMPLE_UP_TO = 3
MODERATE_UP_TO = 10


class Category(StrEnum):
    """What a mock stands in for."""

    DATABASE = "database"
    REDIS = "redis"
    CLICKHOUSE = "clickhouse"
    WEBSOCKET = "websocket"
    HTTP = "http"
    FILESYSTEM = "filesystem"
    LLM = "llm"
    TIME = "time"
    ENVIRONMENT = "environment"
    OTHER = "other"


class Complexity(StrEnum):
    """How much there is to change in a file, by its number of uses."""

    SIMPLE = "simple"
    MODERATE = "moderate"
    COMPLEX = "complex"


class Form(StrEnum):
    """How the mock is put to use."""

    DECORATOR = "decorator"
    CONTEXT = "context"
    """``with patch(…)``, ``stack.enter_context(patch(…))``."""
    CALL = "call"
    """A call for its value: ``Mock()``, ``mocker.patch(…)``, ``monkeypatch.setattr(…)``, ``call(1)``."""
    STARTED = "started"
    """``patch(…).start()`` or a patcher that is kept and started."""
    REFERENCE = "reference"
    """``sentinel.x``, or a stand-in class handed over without a call (``fakeredis.FakeRedis``)."""
    SUBCLASS = "subclass"
    """A class derived from a mock."""
    FIXTURE = "fixture"
    """The definition of a fixture that returns a mock or an object holding one."""
    PARAMETER = "parameter"
    """A test or fixture that asks for such a fixture, by parameter, ``usefixtures`` or ``getfixturevalue``."""


@dataclass(frozen=True, slots=True)
class MockUse:
    """One use of a mock.

    Args:
        path: of the file, posix, relative to the scanned root.
        line: 1-based line where the expression, ``def`` or parameter begins.
        column: 0-based column of it in characters.
        end_line: 1-based last line of the expression (for a ``def``, of its signature's first line).
        kind: ``Mock``, ``patch.object``, ``mocker.patch``, ``monkeypatch.setattr``, ``fixture``, ``fakeredis``, … ; the
            name in its own library whatever it is called here.
        form: how it is used.
        target: dotted name of what is replaced; for a parameter the fixture's name; else the name that holds the mock,
            or "".
        category: what it stands in for.
        evidence: one short phrase that says why this category.
        scope: ``TestX.test_y``, ``fixture_name`` or "" at the top of the module.
        rewritable: the rewriter has a rule for this kind, form and category.
    """

    path: str
    line: int
    column: int
    end_line: int
    kind: str
    form: Form
    target: str
    category: Category
    evidence: str
    scope: str
    rewritable: bool = False


@dataclass(frozen=True, slots=True)
class FileReport:
    """What one file holds.

    Args:
        path: posix, relative to the scanned root.
        uses: in order of line and column.
        tests: number of test functions and methods.
        lines: number of lines.
        error: why the file could not be read or parsed, else None; then ``uses`` is empty.
        autouse: names of autouse fixtures returning mocks that reach tests of this file without being named in them.
    """

    path: str
    uses: tuple[MockUse, ...]
    tests: int = 0
    lines: int = 0
    error: str | None = None
    autouse: tuple[str, ...] = ()

    def limited(self, categories: Collection[Category]) -> FileReport:
        """The same file as if it held uses of these categories only."""
        return replace(self, uses=tuple(use for use in self.uses if use.category in categories))

    @property
    def complexity(self) -> Complexity:
        """By the number of uses in this file."""
        return complexity_of(len(self.uses))

    @property
    def categories(self) -> Counter[Category]:
        """Number of uses of each category."""
        return Counter(use.category for use in self.uses)

    @property
    def kinds(self) -> Counter[str]:
        """Number of uses of each kind."""
        return Counter(use.kind for use in self.uses)

    @property
    def rewritable(self) -> int:
        """Number of uses that the rewriter has a rule for."""
        return sum(use.rewritable for use in self.uses)


@dataclass(frozen=True, slots=True)
class TreeReport:
    """What a whole scan found.

    Args:
        root: directory that the paths are relative to.
        files: every Python file that was read, in order of path, also those without mocks.
        version: of the scanner's rules; reports of different versions need not agree.
        cached: number of files whose analysis came from the cache.
    """

    root: str
    files: tuple[FileReport, ...]
    version: str
    cached: int = field(default=0, compare=False)

    def limited(self, categories: Collection[Category]) -> TreeReport:
        """The same tree as if it held uses of these categories only."""
        return replace(self, files=tuple(file.limited(categories) for file in self.files))

    @property
    def uses(self) -> tuple[MockUse, ...]:
        """Every use, by path, line and column."""
        return tuple(use for file in self.files for use in file.uses)

    @property
    def with_mocks(self) -> tuple[FileReport, ...]:
        """The files that hold at least one use."""
        return tuple(file for file in self.files if file.uses)

    @property
    def failed(self) -> tuple[FileReport, ...]:
        """The files that could not be read or parsed."""
        return tuple(file for file in self.files if file.error is not None)

    @property
    def categories(self) -> Counter[Category]:
        """Number of uses of each category."""
        return _sum(file.categories for file in self.files)

    @property
    def kinds(self) -> Counter[str]:
        """Number of uses of each kind."""
        return _sum(file.kinds for file in self.files)

    @property
    def complexities(self) -> Counter[Complexity]:
        """Number of files of each complexity, among those with mocks."""
        return Counter(file.complexity for file in self.with_mocks)

    @property
    def tests(self) -> int:
        """Number of tests in all files."""
        return sum(file.tests for file in self.files)

    @property
    def lines(self) -> int:
        """Number of lines in all files."""
        return sum(file.lines for file in self.files)

    @property
    def rewritable(self) -> int:
        """Number of uses that the rewriter has a rule for."""
        return sum(file.rewritable for file in self.files)


def complexity_of(count: int) -> Complexity:
    """The complexity of a file with ``count`` uses."""
    if count <= SIMPLE_UP_TO:
        return Complexity.SIMPLE
    return Complexity.MODERATE if count <= MODERATE_UP_TO else Complexity.COMPLEX


def _sum(counters: Iterable[Counter[T]]) -> Counter[T]:
    total: Counter[T] = Counter()
    for counter in counters:
        total.update(counter)
    return total
