"""ClickHouse: rows that make the real server answer what a mock was told to answer, and assertions on rows."""

from __future__ import annotations

from collections.abc import Sequence

from test_framework.migration.rewriter.events import CannotTell, Op
from test_framework.migration.rewriter.values import Value
from test_framework.migration.rewriter.wanted import Client, Seeds

__all__ = ["ClickHouseSeeds"]


class ClickHouseSeeds:
    def __init__(self, client: Client) -> None:
        self.client = client

    def take(self, op: Op) -> None:
        raise CannotTell("ClickHouse queries need rows that a person must choose")

    def lines(self) -> Seeds:
        return Seeds()

    def assertion(self, method: str, args: Sequence[Value], kwargs: dict[str, Value], op: Op) -> list[str]:
        raise CannotTell("ClickHouse queries need rows that a person must choose")
