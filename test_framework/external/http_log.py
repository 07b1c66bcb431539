"""What a client asked and was answered, for the report of a failed test. No header, no body and no secret is kept."""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass

import httpx

__all__ = ["Exchange", "RequestLog", "scrubbed"]

_KEPT = 200
# Values of such parameters are what logs must not show.
_SECRET = re.compile(r"token|password|passwd|secret|key|auth|session|code|signature|credential", re.IGNORECASE)
# A token in a path, as some links have it.
_JWT = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]*")


def scrubbed(url: httpx.URL) -> str:
    """``url`` without user, password, and the values of parameters that sound secret."""
    plain = url.copy_with(username=None, password=None) if url.userinfo else url
    pairs = [(name, "***" if _SECRET.search(name) else value) for name, value in plain.params.multi_items()]
    text = str(plain.copy_with(query=None, fragment=None))
    query = "&".join(f"{name}={value}" for name, value in pairs)
    return _JWT.sub("***", f"{text}?{query}" if query else text)


@dataclass(frozen=True)
class Exchange:
    """One attempt.

    Args:
        outcome: the status, or the kind of error.
        ms: milliseconds until the answer's head was there.
    """

    method: str
    url: str
    outcome: str
    ms: float

    def __str__(self) -> str:
        return f"{self.method} {self.url} → {self.outcome} ({self.ms:.1f} ms)"


class RequestLog:
    """The last 200 exchanges."""

    def __init__(self) -> None:
        self._exchanges: deque[Exchange] = deque(maxlen=_KEPT)
        self._count = 0

    @property
    def exchanges(self) -> list[Exchange]:
        """Oldest first. Repeated attempts are entries of their own."""
        return list(self._exchanges)

    def add(self, request: httpx.Request, outcome: str, seconds: float) -> None:
        self._count += 1
        self._exchanges.append(Exchange(request.method, scrubbed(request.url), outcome, seconds * 1000))

    def text(self) -> str:
        """A line each; empty when nothing was asked."""
        dropped = self._count - len(self._exchanges)
        head = [f"({dropped} earlier ones are left out)"] if dropped else []
        return "\n".join([*head, *map(str, self._exchanges)])
