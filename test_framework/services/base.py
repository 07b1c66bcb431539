"""What every service looks like to the rest of the house."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from test_framework.endpoints import Endpoints

__all__ = ["FixtureFile", "Health", "Probe", "Progress", "SeedRequest", "SeedState", "Service"]


class Health(StrEnum):
    """How a server answered its last probe."""

    HEALTHY = "healthy"
    UNREACHABLE = "unreachable"  # nobody listens there
    UNRESPONSIVE = "unresponsive"  # it accepts and does not answer in time
    REFUSED = "refused"  # it answers and refuses the credentials
    FAILED = "failed"  # it answers with an error of its own


@dataclass(frozen=True, kw_only=True)
class SeedState:
    """What is loaded in a server: the checksum of the whole plan, and of each file."""

    checksum: str
    stack_id: str
    loaded_at: float
    files: dict[str, str] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Probe:
    """One answer of one server.

    Args:
        latency_ms: from asking to the answer, connection included; ``None`` without an answer.
        memory_bytes: what the server itself says it uses; ``None`` where it cannot know.
        connections: clients connected, the probe itself included.
        seed: what is loaded; ``None`` when nothing is, or the server did not answer.
        problem: why it is not healthy, without secrets.
    """

    service: str
    health: Health
    address: str
    latency_ms: float | None = None
    version: str | None = None
    memory_bytes: int | None = None
    connections: int | None = None
    seed: SeedState | None = None
    problem: str | None = None


@dataclass(frozen=True)
class FixtureFile:
    """A seed file, read once: what is hashed is what is loaded."""

    path: Path
    content: bytes
    checksum: str


# Called with the object being loaded and the rows loaded so far.
Progress = Callable[[str, int], None]


@dataclass(frozen=True, kw_only=True)
class SeedRequest:
    """One service's part of the seeding plan.

    Args:
        files: in loading order.
        checksum: of the whole part: files, migration, callable.
        stack_id: random identity of the stack, to be written into the server.
        build_steps: run on the database being built, after the files, with its DSN (Postgres only).
    """

    files: Sequence[FixtureFile]
    checksum: str
    stack_id: str
    progress: Progress
    build_steps: Sequence[Callable[[str], Any]] = ()


class Service(Protocol):
    """What health and seeding ask of a service. Implementations hold no state: everything is in the arguments."""

    name: str
    suffixes: frozenset[str]

    async def probe(self, endpoints: Endpoints, timeout: float) -> Probe:
        """Ask the server by its own protocol, within ``timeout`` seconds. A server that is down never raises."""
        ...

    def check(self, files: Sequence[FixtureFile]) -> None:
        """Parse everything before anything is loaded; raises :class:`~test_framework.errors.SeedError`."""
        ...

    async def seed_state(self, endpoints: Endpoints, timeout: float) -> SeedState | None:
        """What is loaded now, or ``None``."""
        ...

    async def seed(self, endpoints: Endpoints, request: SeedRequest, timeout: float) -> dict[str, int]:
        """Load ``request`` atomically and return rows by object; on any error the previous seed is still there."""
        ...
