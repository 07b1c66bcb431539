"""Load the Redis fixtures in one transaction, together with the record of which keys they are."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice

from test_framework.endpoints import RedisEndpoint
from test_framework.errors import SeedError, StackBusy
from test_framework.services.base import SeedOutcome, SeedRequest, SeedState
from test_framework.services.redis.client import (
    MARKER_KEY,
    RedisClient,
    RedisReplyError,
    ask,
    connect,
    parse_marker,
    read_marker_command,
)
from test_framework.services.redis.loading import Command, Entry, entries

__all__ = ["seed"]

_ATTEMPTS = 20
_PIECE = 500


async def seed(endpoint: RedisEndpoint, request: SeedRequest, timeout: float) -> SeedOutcome:
    """Make the database hold ``request``: what an earlier seed put there goes, what others put there stays.

    Raises:
        SeedError: a file is wrong, or a key is somebody else's. Nothing was changed.
        ServiceUnavailable: the server is in the way.
    """

    async def work() -> SeedOutcome:
        async with connect(endpoint) as client:
            for _ in range(_ATTEMPTS):
                outcome = await _attempt(client, request)
                if outcome is not None:
                    return outcome
        raise StackBusy("other seeders keep changing Redis", where=endpoint.address, fix="try again")

    return await ask(endpoint, timeout, work)


async def _attempt(client: RedisClient, request: SeedRequest) -> SeedOutcome | None:
    """``None`` when another seeder was faster, who is to be looked at first."""
    _, marker = await client.pipeline([("WATCH", MARKER_KEY), read_marker_command()])
    found = parse_marker(marker)
    if found is not None and found.checksum == request.checksum and not request.force:
        if found.stack_id != request.stack_id:
            await client.call("HSET", MARKER_KEY, "stack_id", request.stack_id)
        await client.call("UNWATCH")
        return SeedOutcome(state=replace(found, stack_id=request.stack_id), loaded=False)
    loaded = _read(request)
    if found is None:
        await _refuse_foreign(client, loaded, request)
    previous = json.loads(await client.call("HGET", MARKER_KEY, "keys") or "[]")
    seconds, micros = await client.call("TIME")
    state = request.state(loaded_at=int(seconds) + int(micros) / 1e6, counts=Counter(entry.kind for entry in loaded))
    commands = [*_deletions(previous, loaded), *(each for entry in loaded for each in entry.commands)]
    replies = await client.pipeline([("MULTI",), *commands, _note(state, loaded), ("EXEC",)])
    if replies[-1] is None:
        return None
    await _confirm(client, replies[-1])
    return SeedOutcome(state=state, loaded=True)


def _read(request: SeedRequest) -> list[Entry]:
    loaded: list[Entry] = []
    for file in request.files:
        started = time.perf_counter()
        part = entries(file)
        loaded.extend(part)
        request.progress(file.name, len(part), time.perf_counter() - started)
    return loaded


async def _refuse_foreign(client: RedisClient, loaded: Sequence[Entry], request: SeedRequest) -> None:
    """In a database that we never seeded, a key that exists is somebody's data, not even to be taken by force."""
    replies = await client.pipeline([("EXISTS", entry.key) for entry in loaded])
    taken = next((entry for entry, there in zip(loaded, replies, strict=True) if there), None)
    if taken is not None:
        key = taken.key.decode("utf-8", "replace")
        file = next(file for file in request.files if any(entry.key == taken.key for entry in entries(file)))
        raise SeedError(
            f"the key {key!r} is there already, and this package never seeded this Redis",
            file=file.path,
            line=taken.line,
            fix="name another Redis in TEST_REDIS_HOST and TEST_REDIS_PORT, or delete the key if nobody needs it",
        )


def _deletions(previous: Sequence[str], loaded: Sequence[Entry]) -> Iterator[Command]:
    keys = iter({*(key.encode("utf-8", "surrogateescape") for key in previous), *(entry.key for entry in loaded)})
    while piece := list(islice(keys, _PIECE)):
        yield ("UNLINK", *piece)


def _note(state: SeedState, loaded: Sequence[Entry]) -> Command:
    keys = json.dumps([entry.key.decode("utf-8", "surrogateescape") for entry in loaded])
    values = json.dumps({**state.as_dict(), "stack_id": None}, ensure_ascii=False)
    return ("HSET", MARKER_KEY, "state", values, "stack_id", state.stack_id, "keys", keys)


async def _confirm(client: RedisClient, replies: Sequence[object]) -> None:
    """Everything was checked before, so no command can fail half-way; should one, the seed must not count as loaded."""
    refused = next((reply for reply in replies if isinstance(reply, RedisReplyError)), None)
    if refused is not None:
        await client.call("HDEL", MARKER_KEY, "state")
        raise refused
