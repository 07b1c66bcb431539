"""What isolation asks of whoever keeps the books, and of whoever makes namespaces."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from test_framework.isolation.values import Grant, Holder, LeasedEndpoint
from test_framework.waiting import Deadline

__all__ = ["Allocator", "Clones", "Entry", "Ledger", "State"]


class State(StrEnum):
    """Where a namespace is in its life. The row is written before the namespace exists and goes after it is gone."""

    CREATING = "creating"  # a session is making it; without that session it is garbage
    READY = "ready"  # in the pool, nobody's
    RESERVED = "reserved"  # a session's, for its next test
    LEASED = "leased"  # a session's, in use or being handed back
    KEPT = "kept"  # a user asked for it to survive
    GARBAGE = "garbage"  # nobody's, and going to be dropped by a reaper


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One namespace in the books."""

    service: str
    name: str
    template: str
    state: State


class Ledger(Protocol):
    """The books of one session: what it, and what the pool owns. Shared by all sessions of a stack."""

    @property
    def session(self) -> int:
        """The number of this session, never 0."""
        ...

    @property
    def connected(self) -> bool:
        """Whether the session is known to live."""
        ...

    async def take(self, service: str, template: str, state: State, *, anybodys: bool) -> str | None:
        """A ready namespace, now ours and in ``state``; ``None`` when there is none.

        Args:
            anybodys: those that workers of another name made will do as well.
        """
        ...

    async def intend(self, service: str, name: str, template: str, *, limit: int | None = None) -> bool:
        """Write down that we are going to make ``name``.

        ``False`` when ``limit`` of them are ready or being made for this worker already.
        """
        ...

    async def offer(self, service: str, name: str, *, limit: int) -> bool:
        """Give a namespace of ours to the pool, if fewer than ``limit`` of this worker's are ready there."""
        ...

    async def move(self, service: str, name: str, state: State) -> bool:
        """Change the state of a namespace of ours. ``False`` when it is not ours any more."""
        ...

    async def forget(self, service: str, name: str) -> None:
        """A namespace of ours is gone."""
        ...

    async def claim_number(self, service: str, highest: int, excluded: Sequence[int]) -> int | None:
        """A number from 1 to ``highest`` that nobody holds, now ours; ``None`` when all are held."""
        ...

    async def holders(self, service: str) -> Sequence[Holder]:
        """Who holds how many namespaces of a service."""
        ...

    async def use_template(self, template: str) -> None:
        """Say that this session makes copies of ``template``, which therefore must stay."""
        ...


class Clones(Protocol):
    """Namespaces of one service that are copies of a template."""

    @property
    def service(self) -> str: ...

    @property
    def ledger(self) -> Ledger: ...

    @property
    def renames(self) -> bool:
        """Whether :meth:`adopt` works."""
        ...

    @property
    def together(self) -> int:
        """How many :meth:`restore` at once for little more than one of them costs."""
        ...

    async def template(self) -> str:
        """What is copied now. Raises ``ServiceUnavailable`` when nothing is seeded."""
        ...

    async def create(self, name: str, template: str) -> None: ...

    async def remember(self, name: str) -> None:
        """Note what a new one is like, for :meth:`restore`. Left out where somebody waits for it."""
        ...

    async def let_go(self, name: str) -> None:
        """It is going to be anybody's: nothing of ours may stay in it."""
        ...

    async def adopt(self, name: str) -> str:
        """Give a ready namespace that another worker made a name of this worker's, and return that."""
        ...

    async def destroy(self, name: str) -> None:
        """Close what is connected and drop it. Harmless when it is gone."""
        ...

    async def restore(self, name: str) -> bool:
        """Close what is connected; then whether it is provably as it was made, or could be put back exactly."""
        ...

    def endpoint(self, name: str) -> LeasedEndpoint: ...

    async def close(self) -> None: ...


class Allocator(Protocol):
    """Gives namespaces of one service to tests and takes them back."""

    async def warm(self) -> None:
        """Prepare for the first test."""
        ...

    def at_once(self) -> Grant | None:
        """What can be had without waiting for anything, from any thread."""
        ...

    def settling(self, name: str) -> Coroutine[Any, Any, None] | None:
        """What is left to do on the loop after :meth:`at_once` gave ``name`` away, if anything."""
        ...

    async def acquire(self, deadline: Deadline) -> Grant: ...

    def releasing(self, name: str, *, keep: bool) -> Coroutine[Any, Any, None] | None:
        """Take it back, from any thread. What is to be run on the loop now, if anything."""
        ...

    async def reset(self, name: str) -> None:
        """Put it back to the seed, under the same name."""
        ...

    async def discard(self, name: str) -> None:
        """Remove, now, what the books say is ours and nobody uses: an answer of the books was lost once."""
        ...

    async def conflicts(self) -> Sequence[str]:
        """What the service itself says against what we believe to hold."""
        ...

    async def close(self) -> None:
        """Finish that work. Ready namespaces stay for the next session."""
        ...
