"""A use while its file is still being read: what speaks for its category is gathered until the end of the file."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field

from test_framework.migration.categories import WEAK, Evidence, Finding, decide
from test_framework.migration.model import Category, Form
from test_framework.migration.scopes import Scope

__all__ = ["Pending", "Place"]


DEPTH = 24
"""Longest chain of mocks in mocks that is followed; it also ends circles."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value goes: into these names (the nearest first), or as an argument into this callee."""

    names: tuple[str, ...] = ()
    callee: str = ""


@dataclass(slots=True)
class Pending:
    """One use, open."""

    node: ast.AST
    kind: str
    family: str
    form: Form
    scope: Scope
    target: str
    evidence: Evidence
    holders: list[tuple[Scope, str]] = field(default_factory=list)
    """Variables that hold it: attributes used on them are evidence, and ``start()`` on them is a form."""
    outer: Pending | None = None
    parts: list[Pending] = field(default_factory=list)
    """The mocks that are handed to this one."""
    via: str = ""
    fixture: str = ""
    finding: Finding | None = None

    def lies_in(self, other: Pending) -> bool:
        """Whether this is ``other`` or part of it, however deep."""
        at: Pending | None = self
        for _ in range(DEPTH):
            if at is None or at is other:
                break
            at = at.outer
        return at is other

    def decided(self) -> Finding:
        """The category, decided once; what the mock is part of is decided first."""
        if self.finding is None:
            outer, self.outer = self.outer, None  # two mocks may be assigned into each other
            if outer is not None:
                self.evidence.outer = outer.decided()
            self.finding = decide(self.evidence)
            if not self.finding.weight:
                self.finding = self.of_parts() or self.finding
        return self.finding

    def of_parts(self) -> Finding | None:
        """What the mocks that it is made of stand in for."""
        for part in self.parts:
            found = part.decided()
            if found.category is not Category.OTHER and found.weight > WEAK:
                return found._replace(why=f"it is replaced by a mock: {found.why}", weight=WEAK)
        return None
