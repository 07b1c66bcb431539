"""A use while its file is still being read: what speaks for its category is gathered until the end of the file."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field

from test_framework.migration.categories import Evidence, Finding, decide
from test_framework.migration.model import Form
from test_framework.migration.scopes import Scope

__all__ = ["Pending", "Place"]


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
    via: str = ""
    fixture: str = ""
    finding: Finding | None = None

    def decided(self) -> Finding:
        """The category, decided once; what the mock is part of is decided first."""
        if self.finding is None:
            outer, self.outer = self.outer, None  # two mocks may be assigned into each other
            if outer is not None:
                self.evidence.outer = outer.decided()
            self.finding = decide(self.evidence)
        return self.finding
