"""What every way of running the servers looks like to the command line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from test_framework.seeding import Plan
from test_framework.settings import Settings
from test_framework.stack.definition import StackDefinition
from test_framework.state import StackState

__all__ = ["Backend", "Report", "StartRequest", "log_tail"]

# Called with a service's name ("" for the stack) and what is happening to it.
Report = Callable[[str, str], None]


@dataclass(frozen=True, kw_only=True)
class StartRequest:
    """What shall run: the definition, the user's settings, and the seed."""

    definition: StackDefinition
    settings: Settings
    plan: Plan


class Backend(Protocol):
    """Turns a definition into running, seeded, healthy servers, and back into nothing."""

    name: str

    async def start(self, request: StartRequest) -> StackState:
        """Start everything, seed it, and return once the monitor calls it healthy.

        On any error, and when cancelled, nothing is left behind.
        """
        ...

    async def stop(self, state: StackState | None) -> bool:
        """End everything that belongs to the stack, however it was left; tell whether there was anything.

        Needs no definition: a stack must come down although its compose file has been broken meanwhile.
        """
        ...

    def logs(self, state: StackState, service: str, lines: int) -> str:
        """The last ``lines`` lines of a service's log."""
        ...


def log_tail(file: Path, lines: int = 50) -> str:
    """The last ``lines`` lines of a log; empty when there is none."""
    try:
        return "\n".join(file.read_text("utf-8", errors="replace").splitlines()[-lines:])
    except OSError:
        return ""
