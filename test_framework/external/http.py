"""A client for the service under test: ``httpx.AsyncClient``, and what tests would otherwise write around it."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import wraps
from typing import Any, ParamSpec, Self, TypeVar

import httpx

from test_framework.external.auth_answer import AuthAnswer
from test_framework.external.http_log import RequestLog
from test_framework.external.http_sent import SentRequests
from test_framework.external.http_transport import BreakerPolicy, CircuitOpen, ResilientTransport, RetryPolicy
from test_framework.manager.hop import needs_loop

__all__ = ["AuthAnswer", "BreakerPolicy", "CircuitOpen", "HttpResource", "HttpTimeouts", "RequestLog", "RetryPolicy"]

# pytest shows the user's line, not ours; --full-trace shows all.
__tracebackhide__ = True

P = ParamSpec("P")
T = TypeVar("T")
_AUTH = "/auth/"


@dataclass(frozen=True, kw_only=True)
class HttpTimeouts:
    """Seconds to connect, and for each part of an answer to come."""

    connect: float = 10.0
    answer: float = 30.0


def _in_a_loop(method: Callable[P, T]) -> Callable[P, T]:
    """With a clear error in a plain ``def`` test, which could only collect coroutines nobody awaits."""

    @wraps(method)
    def checked(*args: P.args, **kwargs: P.kwargs) -> T:
        needs_loop(f"real_http_client.{method.__name__}", "service_url for a client of your own")
        return method(*args, **kwargs)

    return checked


class _Bearer(httpx.Auth):
    """Sends the token to the service and its authentication, and to nobody else."""

    def __init__(self, token: str, origins: frozenset[tuple[str, str, int | None]]) -> None:
        self._token = token
        self._origins = origins

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        if "authorization" not in request.headers and _origin(request.url) in self._origins:
            request.headers["Authorization"] = f"Bearer {self._token}"
        yield request


class HttpResource(httpx.AsyncClient):
    """An ``httpx.AsyncClient`` for one service, usable from any event loop.

    Relative URLs go to the service; those that begin with ``/auth/`` to its authentication, where that is elsewhere.
    Requests that are idempotent (by method, or by an ``Idempotency-Key``) are repeated when no answer comes, or 429,
    502, 503 or 504. A host that fails again and again is given up for a while. ``sent(method, path)`` is what was sent.

    Args:
        url: of the service.
        auth_url: of the service that signs up and logs in; ``None``: the same.
        log: where exchanges are noted.
        tls: for ``https``; ``None``: what httpx does by itself.
    """

    def __init__(
        self,
        url: str,
        *,
        auth_url: str | None = None,
        timeouts: HttpTimeouts | None = None,
        retries: RetryPolicy | None = None,
        breaker: BreakerPolicy | None = None,
        log: RequestLog | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.log = log or RequestLog()
        self.auth_url = httpx.URL(auth_url or url)
        self.sent = SentRequests(self.auth_url, url)
        self._resilient = ResilientTransport(
            retries=retries or RetryPolicy(),
            breaker=breaker or BreakerPolicy(),
            log=self.log,
            sent=self.sent,
            tls=tls,
        )
        limits = timeouts or HttpTimeouts()
        super().__init__(
            base_url=url, transport=self._resilient, timeout=httpx.Timeout(limits.answer, connect=limits.connect)
        )
        self.token: str | None = None
        self.refresh_token: str | None = None

    get = _in_a_loop(httpx.AsyncClient.get)
    post = _in_a_loop(httpx.AsyncClient.post)
    put = _in_a_loop(httpx.AsyncClient.put)
    patch = _in_a_loop(httpx.AsyncClient.patch)
    delete = _in_a_loop(httpx.AsyncClient.delete)
    head = _in_a_loop(httpx.AsyncClient.head)
    options = _in_a_loop(httpx.AsyncClient.options)
    request = _in_a_loop(httpx.AsyncClient.request)
    send = _in_a_loop(httpx.AsyncClient.send)
    stream = _in_a_loop(httpx.AsyncClient.stream)

    def build_request(self, method: str, url: httpx.URL | str, **options: Any) -> httpx.Request:
        """As in httpx; a relative ``url`` below ``/auth/`` leads to the authentication."""
        path = str(url)
        if path.startswith(_AUTH):
            url = f"{str(self.auth_url).rstrip('/')}{path}"
        return super().build_request(method, url, **options)

    async def auth_signup(self, email: str, password: str, **more: Any) -> AuthAnswer:
        """``POST /auth/signup`` with ``email``, ``password`` and ``more``. A refusal is an answer too, no exception."""
        return AuthAnswer(await self.post("/auth/signup", json={"email": email, "password": password, **more}))

    async def auth_login(self, email: str, password: str, **more: Any) -> AuthAnswer:
        """``POST /auth/login``; when it succeeds, later requests carry the token (see :meth:`use_token`)."""
        answer = AuthAnswer(await self.post("/auth/login", json={"email": email, "password": password, **more}))
        self._carry(answer)
        return answer

    async def auth_refresh(self, refresh_token: str | None = None) -> AuthAnswer:
        """``POST /auth/refresh`` with ``refresh_token``, or with that of the last login; carries the new token on."""
        token = refresh_token if refresh_token is not None else self.refresh_token
        answer = AuthAnswer(await self.post("/auth/refresh", json={"refresh_token": token}))
        self._carry(answer)
        return answer

    async def auth_logout(self) -> AuthAnswer:
        """``POST /auth/logout``; nothing is carried on afterwards."""
        answer = AuthAnswer(await self.post("/auth/logout"))
        self.forget_token()
        return answer

    def use_token(self, token: str) -> Self:
        """Send ``token`` to the service with every request that has no ``Authorization`` of its own."""
        self.token = token
        self.auth = _Bearer(token, frozenset({_origin(self.base_url), _origin(self.auth_url)}))
        return self

    def forget_token(self) -> None:
        """Be nobody again."""
        self.token = self.refresh_token = None
        self.auth = httpx.Auth()  # which adds nothing

    def _carry(self, answer: AuthAnswer) -> None:
        token = answer.get("access_token")
        if answer.is_success and isinstance(token, str):
            self.use_token(token)
            self.refresh_token = answer.get("refresh_token")

    def close_everywhere(self) -> None:
        """Close the connections of all event loops, from where none runs."""
        self._resilient.close_everywhere()


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    default = {"http": 80, "https": 443}.get(url.scheme)
    return url.scheme, url.host, url.port or default
