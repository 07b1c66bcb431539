"""Putting a test's database back exactly, and proving it, which costs a third of dropping it and copying it anew.

The proof. Definitions, mutations, detached parts and whatever else there is are compared with the base database's; any
difference means: not restored. Rows are in parts, which never change: the same partitions with the same number of rows
and the same sum of all files hold the same rows. Partitions that differ are replaced by those of the base database, as
when the copy was made, and looked at again. One thing nobody can see, whether merges were stopped, and so they are
started; unless nobody on the whole server did anything but to query and to insert.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from test_framework.services.base import MARK
from test_framework.services.clickhouse.admin import ClickHouseAdmin
from test_framework.services.clickhouse.client import ClickHouseReplyError, quote_identifier
from test_framework.services.clickhouse.cloning import Plan
from test_framework.services.clickhouse.looking import (
    Contents,
    Counts,
    Part,
    Sights,
    look,
    read_counts,
    running,
    sights,
)
from test_framework.services.clickhouse.together import Together

__all__ = ["Restorer"]

# From some number on, copying the whole table takes no longer.
_MOST_PARTITIONS = 100
_REPLACE = "REPLACE PARTITION"


class Restorer:
    """Knows what copies of one base database are like, and puts them back. Raises the errors of the connection.

    Args:
        given: what the copies are compared with, until it is seen to have changed.
    """

    def __init__(self, admin: ClickHouseAdmin, plan: Plan, given: Contents, questions: Sights, counts: Counts) -> None:
        self._admin = admin
        self._plan = plan
        self._base = given
        self._questions = questions
        self._latest = counts
        self._known: dict[str, Counts] = {}  # when it was last known to be as it was made
        self._counts = Together(self._count)
        self._running = Together(self._find_running)
        self._rows = Together(lambda names: self._look(questions.rows, names))
        self._everything = Together(lambda names: self._look(questions.everything or "", names))

    @classmethod
    async def of(cls, admin: ClickHouseAdmin, plan: Plan) -> Restorer | None:
        """``None`` where what a test does to a copy cannot be seen."""
        if not plan.countable:
            return None
        async with admin.use() as client:
            questions = await sights(client, dictionaries=any(each.engine == "Dictionary" for each in plan.objects))
            found = await look(client, questions.everything or questions.rows, [plan.database])
            counts = await read_counts(client, admin.orders)
        return cls(admin, plan, found[plan.database], questions, counts)

    def remember(self, name: str) -> None:
        """Nobody has written to it yet: whoever does, does so after the counts that were read last."""
        self._known.setdefault(name, self._latest)

    def forget(self, name: str) -> None:
        self._known.pop(name, None)

    async def restore(self, name: str) -> bool:
        """Whether the database is as it was made, now."""
        earlier = self._known.pop(name, None)
        counts = await self._counts("")
        if earlier is None or not counts.no_writes_since(earlier):
            if not self._plan.forgetful or (counts.busy and await self._running(name)):
                return False
            only_rows = earlier is not None and counts.only_inserts_since(earlier) and self._plan.alike
            try:
                if not await self._restore(name, only_rows=only_rows):
                    return False
            except ClickHouseReplyError:  # the test may have dropped it, or partitions are of a kind that cannot go
                return False
        self._known[name] = counts
        return True

    async def _restore(self, name: str, *, only_rows: bool) -> bool:
        if not only_rows and self._questions.everything is None:
            return False
        see = self._rows if only_rows else self._everything
        found = await see(name)
        if not self._is_sound(found, only_rows=only_rows):
            return False
        different = self._differences(found)
        if sum(map(len, different.values())) > _MOST_PARTITIONS:
            return False
        orders = [self._replacement(name, found, *each) for each in different.items()]
        await self._order(orders if only_rows else [*orders, *self._starts(name, found)])
        if not any(_REPLACE in order for order in orders):
            return True  # what was dropped is gone, and the rest was looked at
        # The base database may have merged parts since it was looked at.
        found, base = await asyncio.gather(see(name), see(self._plan.database))
        self._base = replace(self._base, parts=base.parts) if only_rows else base
        return self._is_sound(found, only_rows=only_rows) and not self._differences(found)

    def _is_sound(self, found: Contents, *, only_rows: bool) -> bool:
        """Whether nothing differs but rows, if anything."""
        base = self._base
        if found.faults or base.settings is None:
            return False
        if only_rows:
            return found.parts.keys() <= base.objects.keys()
        return found.settings == (base.settings[0], MARK) and found.objects == base.objects

    def _differences(self, found: Contents) -> dict[str, list[str]]:
        """The partitions that do not hold the rows of the base database, by table."""
        different = {}
        for table in sorted(found.parts.keys() | self._base.parts.keys()):
            has, shall = _partitions(found.parts.get(table)), _partitions(self._base.parts.get(table))
            if names := [each for each in sorted(has.keys() | shall.keys()) if has.get(each) != shall.get(each)]:
                different[table] = names
        return different

    def _replacement(self, name: str, found: Contents, table: str, partitions: Sequence[str]) -> str:
        source = _qualified(self._plan.database, self._base.inner.get(table, table))
        theirs = _partitions(self._base.parts.get(table))
        steps = [
            f"{_REPLACE} ID '{each}' FROM {source}" if each in theirs else f"DROP PARTITION ID '{each}'"
            for each in partitions
        ]
        return f"ALTER TABLE {_qualified(name, found.inner.get(table, table))} {', '.join(steps)}"

    def _starts(self, name: str, found: Contents) -> list[str]:
        tables = [table for table, (engine, _) in found.objects.items() if engine.endswith("MergeTree")]
        return [
            f"SYSTEM START {what} {_qualified(name, found.inner.get(table, table))}"
            for table in tables
            for what in ("MERGES", "TTL MERGES")
        ]

    async def _order(self, orders: Sequence[str]) -> None:
        """All at once, as far as there are connections."""

        async def one(sql: str) -> None:
            async with self._admin.use() as client:
                await client.execute(sql)

        for outcome in await asyncio.gather(*map(one, orders), return_exceptions=True):
            if outcome is not None:
                raise outcome

    async def _count(self, names: Sequence[str]) -> Mapping[str, Counts]:
        async with self._admin.use() as client:
            self._latest = await read_counts(client, self._admin.orders)
        return dict.fromkeys(names, self._latest)

    async def _find_running(self, names: Sequence[str]) -> Mapping[str, bool]:
        async with self._admin.use() as client:
            found = await running(client, names)
        return {name: name in found for name in names}

    async def _look(self, question: str, names: Sequence[str]) -> Mapping[str, Contents]:
        async with self._admin.use() as client:
            return await look(client, question, names)


def _partitions(parts: Counter[Part] | None) -> dict[str, Counter[Part]]:
    found: dict[str, Counter[Part]] = {}
    for part, count in (parts or {}).items():
        found.setdefault(part[0], Counter())[part] = count
    return found


def _qualified(database: str, table: str) -> str:
    return f"{quote_identifier(database)}.{quote_identifier(table)}"
