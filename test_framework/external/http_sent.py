"""What a client has sent, for assertions of the test. A ``repr`` shows method and path only: bodies hold passwords."""

from __future__ import annotations

import json
from collections import deque
from typing import Any

import httpx

__all__ = ["SentRequest", "SentRequests"]

_KEPT = 1000


class SentRequest:
    """One request as it was sent, once however often it was repeated.

    Args:
        request: httpx's.
        path: below the service's address, decoded and without the query.
    """

    def __init__(self, request: httpx.Request, path: str) -> None:
        self.request = request
        self.path = path

    @property
    def method(self) -> str:
        return self.request.method

    @property
    def params(self) -> dict[str, str]:
        """The query; the last value of each name."""
        return dict(self.request.url.params)

    @property
    def headers(self) -> httpx.Headers:
        """Case does not matter in their names."""
        return self.request.headers

    @property
    def body(self) -> bytes:
        """As it was sent; empty if it was streamed."""
        return self.request.content if isinstance(self.request.stream, httpx.ByteStream) else b""

    @property
    def json(self) -> Any:
        """The body as a Python value; ``None`` when there is none. Raises ValueError for a body that is no JSON."""
        return json.loads(self.body) if self.body else None

    def __repr__(self) -> str:
        return f"<{self.method} {self.path}>"


class SentRequests:
    """The last 1000 requests, oldest first. Its method :meth:`add` is an event hook for any httpx client, too.

    ``sent()`` gives all, ``sent("POST", "/auth/login")`` those of this method and path.

    Args:
        bases: addresses that paths are told below of.
    """

    def __init__(self, *bases: httpx.URL | str) -> None:
        self._bases = [httpx.URL(base) for base in bases]
        self._requests: deque[SentRequest] = deque(maxlen=_KEPT)

    def __call__(self, method: str | None = None, path: str | None = None) -> list[SentRequest]:
        return [
            each
            for each in self._requests
            if (method is None or each.method == method.upper()) and (path is None or each.path == path)
        ]

    def add(self, request: httpx.Request) -> None:
        """Note one request."""
        self._requests.append(SentRequest(request, self._below(request.url)))

    def _below(self, url: httpx.URL) -> str:
        for base in self._bases:
            prefix = base.path.rstrip("/")
            if prefix and url.netloc == base.netloc and url.path.startswith(f"{prefix}/"):
                return url.path.removeprefix(prefix)
        return url.path
