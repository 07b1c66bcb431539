"""Server-sent events: streams taken apart for the recording, and put together again."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import Any

import httpx

__all__ = ["DONE", "Events", "Tee", "events_of", "json_events"]

DONE = "[DONE]"
EVENT_STREAM = "text/event-stream"


def events_of(text: str) -> list[Any] | None:
    """The events of a whole stream as JSON has them; ``None`` when it holds anything else."""
    found: list[Any] = []
    for block in text.replace("\r\n", "\n").split("\n\n"):
        lines = [line for line in block.split("\n") if line and not line.startswith(":")]
        if not lines:
            continue
        data = _data(lines)
        if data is None:
            return None
        if data == DONE:
            found.append(DONE)
            continue
        try:
            found.append(json.loads(data))
        except ValueError:
            return None
    return found


def _data(lines: Iterable[str]) -> str | None:
    parts = []
    for line in lines:
        name, _, value = line.partition(":")
        if name != "data":
            return None
        parts.append(value.removeprefix(" "))
    return "\n".join(parts)


async def json_events(response: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    """The events of a stream as they come, without the one that says that it is done."""
    async for line in response.aiter_lines():
        name, _, value = line.partition(":")
        text = value.strip()
        if name == "data" and text and text != DONE:
            yield json.loads(text)


class Events(httpx.AsyncByteStream):
    """A recorded stream, an event at a time."""

    def __init__(self, events: Sequence[Any]) -> None:
        self._events = events

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for event in self._events:
            text = event if event == DONE else json.dumps(event, ensure_ascii=False, separators=(",", ":"))
            yield f"data: {text}\n\n".encode()


class Tee(httpx.AsyncByteStream):
    """The stream of a live answer, noted while it passes.

    Args:
        done: called once: with all of it when it came to its end, with ``None`` when it broke off or was let go.
        close: called afterwards.
    """

    def __init__(
        self, source: httpx.Response, done: Callable[[bytes | None], None], close: Callable[[], Awaitable[None]]
    ) -> None:
        self._source = source
        self._done = done
        self._close = close
        self._seen = bytearray()
        self._ended = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._source.aiter_bytes():
            self._seen += piece
            yield piece
        self._end(bytes(self._seen))

    async def aclose(self) -> None:
        self._end(None)
        await self._close()

    def _end(self, seen: bytes | None) -> None:
        if not self._ended:
            self._ended = True
            self._done(seen)
