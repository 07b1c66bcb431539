"""What a test needs instead of its mocks: rows and keys before, assertions on data after."""

from __future__ import annotations

from dataclasses import dataclass, field

from test_framework.migration.rewriter.events import CannotTell, Op
from test_framework.migration.rewriter.values import ModuleV, Value, emit

__all__ = ["Client", "Seeds", "is_any", "said"]


@dataclass(frozen=True)
class Client:
    """How the test says the real client. ``waits`` is ``await`` where its methods are coroutines."""

    name: str
    waits: bool = True
    decoded: bool = True

    def call(self, text: str) -> str:
        return f"{'await ' if self.waits else ''}{self.name}.{text}"


@dataclass
class Seeds:
    """Statements that make the data, each before the statement of the test that first needs it."""

    lines: list[tuple[Op | None, str]] = field(default_factory=list)

    def add(self, op: Op | None, line: str) -> None:
        if line not in [each for _, each in self.lines]:
            self.lines.append((op, line))


def said(value: Value | None, what: str) -> str:
    """The value in the test's words. Raises CannotTell."""
    text = emit(value) if value is not None else None
    if text is None:
        raise CannotTell(f"{what} cannot be told from the source")
    return text


def is_any(value: Value) -> bool:
    """``mock.ANY``."""
    return isinstance(value, ModuleV) and value.name.endswith("mock.ANY")
