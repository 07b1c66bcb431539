"""What seeding tells while it works and when it is done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["SeedProgress", "SeedReport", "ServiceReport"]


@dataclass(frozen=True, kw_only=True)
class SeedProgress:
    """One step is done, or waiting begins.

    Args:
        service: ``postgres``, ``redis`` or ``clickhouse``; empty while waiting for another seeder.
        item: the file or build step; while waiting, who is waited for.
        rows: rows (keys, for Redis) it loaded.
        seconds: how long it took.
    """

    service: str
    item: str
    rows: int
    seconds: float

    def __str__(self) -> str:
        return f"{self.item}: {self.rows} rows in {self.seconds:.2f} s" if self.service else self.item


@dataclass(frozen=True, kw_only=True)
class ServiceReport:
    """What one service holds now. ``loaded`` is ``False`` when it was all there already."""

    loaded: bool
    seconds: float
    checksum: str
    files: Mapping[str, str]
    counts: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class SeedReport:
    """What the stack holds now."""

    stack_id: str
    checksum: str
    seconds: float
    services: Mapping[str, ServiceReport]

    @property
    def loaded(self) -> bool:
        """Whether anything was loaded at all."""
        return any(service.loaded for service in self.services.values())

    @property
    def summary(self) -> str:
        """One line for people."""
        what = "seeded" if self.loaded else "already seeded"
        counts = ", ".join(f"{name} {sum(each.counts.values())}" for name, each in self.services.items())
        return f"{what} ({counts} rows), checksum {self.checksum[:12]}"

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**asdict(self), "loaded": self.loaded}
