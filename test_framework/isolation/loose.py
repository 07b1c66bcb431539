"""The books where no PostgreSQL is configured: each session has its own, in memory, and nobody else looks into them.

What is weaker then: a name is nobody else's because it is random; a Redis number is held by a key that expires; there
is no pool for the next run; and what a dead session left is known by its age. See docs/isolation.md.
"""

from __future__ import annotations

import random
import secrets
from collections.abc import Sequence

from test_framework.isolation.ledger import State
from test_framework.isolation.values import Holder

__all__ = ["LooseLedger"]


class LooseLedger:
    """See :class:`~test_framework.isolation.ledger.Ledger`. Asks nobody, so nothing here can fail."""

    connected = True

    def __init__(self) -> None:
        self.session = secrets.randbelow(2**63 - 2) + 1
        self._mine: dict[tuple[str, str], State] = {}

    async def open(self) -> None:
        """Nothing is to be opened."""

    async def take(self, service: str, template: str, state: State, *, anybodys: bool) -> str | None:
        """There is no pool that others left."""
        del service, template, state, anybodys
        return None

    async def intend(self, service: str, name: str, template: str, *, limit: int | None = None) -> bool:
        del template
        ahead = [state for (each, _), state in self._mine.items() if each == service and state is not State.LEASED]
        if limit is not None and len(ahead) >= limit:
            return False
        self._mine[service, name] = State.CREATING
        return True

    async def offer(self, service: str, name: str, *, limit: int) -> bool:
        """Nobody would find it there."""
        del service, name, limit
        return False

    async def move(self, service: str, name: str, state: State) -> bool:
        """There is nothing but our own: what would be ready for everybody is refused, what is kept is forgotten."""
        if (service, name) not in self._mine or state is State.READY:
            return False
        self._mine[service, name] = state
        if state is State.KEPT:
            del self._mine[service, name]
        return True

    async def forget(self, service: str, name: str) -> None:
        self._mine.pop((service, name), None)

    async def claim_number(self, service: str, highest: int, excluded: Sequence[int]) -> int | None:
        """A candidate: the server itself says whether somebody else holds it."""
        barred = {*excluded, *(int(name) for each, name in self._mine if each == service)}
        free = [number for number in range(1, highest + 1) if number not in barred]
        if not free:
            return None
        number = random.choice(free)  # noqa: S311 - no secret, but not the one that others try first
        self._mine[service, str(number)] = State.LEASED
        return number

    async def holders(self, service: str) -> Sequence[Holder]:
        """Only of this session; others are not known by name."""
        held = sum(each == service for each, _ in self._mine)
        return [Holder(description="this session", count=held)] if held else []

    async def connections(self) -> Sequence[Holder]:
        return []

    async def mine(self) -> Sequence[tuple[str, str]]:
        return list(self._mine)

    async def use_template(self, template: str) -> None:
        """Nobody drops a seed because it seems unused."""

    async def close(self) -> None:
        self._mine.clear()
