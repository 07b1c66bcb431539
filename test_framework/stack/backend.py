"""What every way of running the servers looks like to the command line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from test_framework.seeding import Plan, SeedProgress, SeedReport
from test_framework.settings import Settings
from test_framework.stack.definition import StackDefinition
from test_framework.state import StackState

__all__ = ["Backend", "Report", "StartRequest", "describe_seed", "describe_step", "log_tail"]

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

    @property
    def name(self) -> str: ...

    def preflight(self, request: StartRequest, running: StackState | None) -> None:
        """Raise what :meth:`start` would, as far as can be known while ``running`` is still up. Stops nothing."""
        ...

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

    def recovers(self, state: StackState) -> bool:
        """Whether a server of ``state`` that died comes back by itself, with its data."""
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


def describe_step(step: SeedProgress) -> str:
    """One step of seeding, in words."""
    return f"{step.service} {step.item}: {step.rows} rows ({step.seconds:.2f} s)" if step.service else step.item


def describe_seed(report: SeedReport) -> str:
    """What the stack holds after seeding, in words."""
    rows = {name: sum(service.counts.values()) for name, service in report.services.items()}
    return ", ".join(f"{name} {count} rows" for name, count in rows.items()) + f" ({report.seconds:.2f} s)"
