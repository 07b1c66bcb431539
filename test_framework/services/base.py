"""What every service looks like to the rest of the house, and what is equal for all of them."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from test_framework.endpoints import Endpoints
from test_framework.errors import SeedError

__all__ = [
    "Answer",
    "BuildStep",
    "Diagnosis",
    "FixtureFile",
    "Health",
    "Probe",
    "Progress",
    "SeedOutcome",
    "SeedRequest",
    "SeedState",
    "Service",
]

# Comments, keys and databases that say "this is ours" begin like this.
MARK = "test-framework"


class Health(StrEnum):
    """How a server answered its last probe."""

    HEALTHY = "healthy"
    UNREACHABLE = "unreachable"  # nobody listens there
    UNRESPONSIVE = "unresponsive"  # it accepts and does not answer in time
    REFUSED = "refused"  # it answers and refuses the credentials
    FAILED = "failed"  # it answers with an error of its own


@dataclass(frozen=True, kw_only=True)
class SeedState:
    """What is loaded in a server.

    Args:
        checksum: of this service's part of the plan.
        stack_id: random identity of the stack; empty when the seed is there and the identity is not.
        loaded_at: seconds since the epoch, by the server's or the seeder's clock.
        files: checksum by file, in loading order.
        counts: rows (keys, for Redis) by object.
        tidy: ``False`` while something lies beside it that a seeder at work, or a killed one, has put there.
    """

    checksum: str
    stack_id: str
    loaded_at: float
    files: dict[str, str] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    tidy: bool = True

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, text: str | None, stack_id: str, *, tidy: bool = True) -> SeedState | None:
        """The reverse of ``json.dumps(state.as_dict())``; ``None`` for anything else, which is then not our mark."""
        try:
            values = json.loads(text or "")
            return cls(
                checksum=str(values["checksum"]),
                stack_id=stack_id,
                loaded_at=float(values["loaded_at"]),
                files=dict(values["files"]),
                counts=dict(values["counts"]),
                tidy=tidy,
            )
        except (ValueError, TypeError, KeyError):
            return None


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a healthy server says about itself."""

    version: str
    memory_bytes: int | None = None
    connections: int | None = None
    seed: SeedState | None = None


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """A driver's error in our words. ``cause`` holds no secret."""

    health: Health
    cause: str
    fix: str | None = None


@dataclass(frozen=True, kw_only=True)
class Probe:
    """One answer of one server.

    Args:
        service: its name: ``postgres``, ``redis`` or ``clickhouse``.
        latency_ms: from asking to the answer, connection included; ``None`` without an answer.
        memory_bytes: what the server itself says it uses; ``None`` where it cannot know. Postgres knows its shared
            memory alone.
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
    """A seed file, read once: what is hashed is what is loaded.

    Args:
        path: where it was read, for messages.
        name: how it is called in records: ``shipped/postgres/01_schema.sql``, ``fixtures/redis/sessions.yaml``.
        checksum: SHA-256 of its content.
    """

    path: Path
    content: bytes
    checksum: str
    name: str


@dataclass(frozen=True)
class BuildStep:
    """Something that runs on the Postgres database being built: a migration command, a callable.

    Args:
        name: how it is called in records and progress.
        checksum: of everything that shapes what it does.
        run: called with the DSN of that database and the seconds left; raises ``SeedError``.
    """

    name: str
    checksum: str
    run: Callable[[str, float], Awaitable[None]]


# Called with the object being loaded, the rows loaded into it, and the seconds that took.
Progress = Callable[[str, int, float], None]


@dataclass(frozen=True, kw_only=True)
class SeedRequest:
    """One service's part of the seeding plan.

    Args:
        steps: in loading order; only Postgres knows build steps.
        checksum: of the whole part.
        stack_id: random identity of the stack, to be written into the server.
        force: load even if the server already holds this.
    """

    steps: Sequence[FixtureFile | BuildStep]
    checksum: str
    stack_id: str
    progress: Progress
    force: bool = False

    @property
    def files(self) -> list[FixtureFile]:
        return [step for step in self.steps if isinstance(step, FixtureFile)]

    def state(self, *, loaded_at: float, counts: Mapping[str, int]) -> SeedState:
        """The record of this request, once it is loaded."""
        return SeedState(
            checksum=self.checksum,
            stack_id=self.stack_id,
            loaded_at=loaded_at,
            files={step.name: step.checksum for step in self.steps},
            counts=dict(counts),
        )


@dataclass(frozen=True, kw_only=True)
class SeedOutcome:
    """What seeding one service came to. ``loaded`` is ``False`` when everything was there already."""

    state: SeedState
    loaded: bool


class Service(Protocol):
    """What health and seeding ask of a service. Implementations hold no state: everything is in the arguments."""

    @property
    def name(self) -> str:
        """``postgres``: its folder in fixtures, its field in ``Endpoints``."""
        ...

    @property
    def compose_name(self) -> str:
        """``test-postgres``: what users know it as."""
        ...

    @property
    def suffixes(self) -> frozenset[str]:
        """Endings of the fixture files it can load, with the dot, in lower case."""
        ...

    async def probe(self, endpoints: Endpoints, timeout: float) -> Probe:
        """Ask the server by its own protocol, within ``timeout`` seconds. A server that is down never raises."""
        ...

    async def settings(self, endpoints: Endpoints, timeout: float) -> dict[str, str]:
        """The server's live configuration, without secrets. Raises ``ServiceUnavailable``."""
        ...

    def check(self, files: Sequence[FixtureFile]) -> list[SeedError]:
        """Parse everything that can be parsed without the server; every error found, in file order."""
        ...

    async def seed_state(self, endpoints: Endpoints, timeout: float) -> SeedState | None:
        """What is loaded now, or ``None``. Raises ``ServiceUnavailable``."""
        ...

    async def seed(self, endpoints: Endpoints, request: SeedRequest, timeout: float) -> SeedOutcome:
        """Load ``request`` atomically, or only note the stack id when it is already there.

        On any error the previous seed is still there. At most one caller at a time per server: see
        :func:`test_framework.seeding.seed_all`.
        """
        ...
