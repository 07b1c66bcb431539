"""Servers that answer as a test says: for what is made of answers, never in place of a server under test."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from test_framework.endpoints import Endpoints
from test_framework.services.base import Health, Probe, SeedState

__all__ = ["Scripted", "answering", "hanging", "probe", "seed"]


def seed(stack_id: str = "stack-a") -> SeedState:
    return SeedState(checksum="c0ffee", stack_id=stack_id, loaded_at=1.0, files={"a.sql": "f00"}, counts={"users": 50})


def probe(service: str, *, health: Health = Health.HEALTHY, seed: SeedState | None = None) -> Probe:
    return Probe(service=service, health=health, address=f"{service}.test:1", seed=seed)


class Scripted:
    """A server that answers as the test says."""

    def __init__(self, name: str, answer: Callable[[], Awaitable[Probe]]) -> None:
        self.name = name
        self._answer = answer

    async def probe(self, _endpoints: Endpoints, _timeout: float) -> Probe:
        return await self._answer()


def answering(name: str, answer: Probe | None = None) -> Scripted:
    async def at_once() -> Probe:
        return answer or probe(name, seed=seed())

    return Scripted(name, at_once)


def hanging(name: str) -> Scripted:
    async def never() -> Probe:
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                await asyncio.sleep(0.6)  # a driver that takes its time to clean up
                raise

    return Scripted(name, never)
