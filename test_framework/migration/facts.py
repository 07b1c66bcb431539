"""What one file says by itself, before other files are known. Kept in the cache, so everything is plain and small."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

__all__ = ["Atom", "FileFacts", "FixtureFact", "RawUse", "Request", "from_json", "to_json"]


class RawUse(NamedTuple):
    """A use with everything that the file itself can say of it.

    ``via`` names what must turn out to be a mock elsewhere in the tree (``.compat.MagicMock``), else "".
    ``fixture`` names the fixture whose object it is called on, when a definition in the tree could change its meaning.
    """

    line: int
    column: int
    end_line: int
    kind: str
    form: str
    target: str
    category: str
    evidence: str
    scope: str
    via: str = ""
    fixture: str = ""


class Atom(NamedTuple):
    """One thing that a value may be or hold.

    ``tag`` is "mock"; "fixture" (``ref`` is its name); "call" (``ref`` is a function or class of another module).
    ``strength`` is "is" (the thing itself), "holds" (an object with it inside), "given" (an object that got it put into
    an attribute) or "attribute" (something read from it).
    """

    tag: str
    ref: str
    strength: str
    category: str = ""
    evidence: str = ""


class FixtureFact(NamedTuple):
    """A fixture's definition and what it may return."""

    name: str
    line: int
    column: int
    end_line: int
    scope: str
    cls: str
    autouse: bool
    atoms: list[Atom]
    category: str
    evidence: str


class Request(NamedTuple):
    """A test or fixture that asks for a fixture. ``own`` is the fixture's own name when the asker is a fixture."""

    name: str
    line: int
    column: int
    end_line: int
    scope: str
    cls: str
    own: str
    category: str
    evidence: str


class FileFacts(NamedTuple):
    """All of one file."""

    tests: int
    lines: int
    error: str | None
    uses: list[RawUse]
    requests: list[Request]
    fixtures: list[FixtureFact]
    functions: dict[str, list[Atom]]
    """What functions and classes of the module return or hold, where that is of interest, by qualified name."""
    names: dict[str, str]
    """Module-level names that stand for something from elsewhere, by their resolved dotted name."""
    stars: list[str]
    bases: dict[str, list[str]]
    """Base classes of test classes, by qualified name."""
    plugins: list[str]


def empty(*, lines: int = 0, error: str | None = None) -> FileFacts:
    """The facts of a file that holds nothing, or cannot be read."""
    return FileFacts(0, lines, error, [], [], [], {}, {}, [], {}, [])


def to_json(facts: FileFacts) -> str:
    """One line of text for the cache."""
    return json.dumps(facts, separators=(",", ":"))


def from_json(text: str) -> FileFacts:
    """The facts in ``text``. Raises ValueError, TypeError or KeyError when it was not made by ``to_json``."""
    raw: list[Any] = json.loads(text)
    tests, lines, error, uses, requests, fixtures, functions, names, stars, bases, plugins = raw
    return FileFacts(
        tests,
        lines,
        error,
        [RawUse._make(use) for use in uses],
        [Request._make(request) for request in requests],
        [FixtureFact._make([*f[:7], [Atom._make(a) for a in f[7]], *f[8:]]) for f in fixtures],
        {name: [Atom._make(atom) for atom in atoms] for name, atoms in functions.items()},
        names,
        stars,
        bases,
        plugins,
    )
