"""Below the client: retries with backoff for idempotent requests, a circuit breaker per host, connections per loop."""

from __future__ import annotations

import asyncio
import ssl
import time
from dataclasses import dataclass
from functools import cache
from typing import Any

import httpx
import tenacity
from purgatory import AsyncCircuitBreakerFactory
from purgatory.domain.model import OpenedState

from test_framework.errors import FrameworkError
from test_framework.external.http_log import RequestLog
from test_framework.external.http_sent import SentRequests
from test_framework.manager.loops import PerLoop

__all__ = ["BreakerPolicy", "CircuitOpen", "ResilientTransport", "RetryPolicy"]

# pytest shows the user's line, not ours; --full-trace shows all.
__tracebackhide__ = True

_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
# "Not now", said by the service or by what is in front of it.
_BUSY = frozenset({429, 502, 503, 504})
# The caller's mistakes: trying again cannot help, and the host is not to blame.
_CALLERS = (httpx.UnsupportedProtocol, httpx.LocalProtocolError, httpx.DecodingError)


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """When a request that changes nothing by being repeated is repeated.

    Args:
        attempts: the first one included; 1: never.
        first_wait: seconds before the second attempt; doubled each time, with up to as much again at random.
        longest_wait: seconds; also the limit for what ``Retry-After`` asks.
    """

    attempts: int = 3
    first_wait: float = 0.05
    longest_wait: float = 2.0


@dataclass(frozen=True, kw_only=True)
class BreakerPolicy:
    """When a host is given up.

    Args:
        failures: attempts without any answer, one after another.
        seconds: until one request may try again.
    """

    failures: int = 5
    seconds: float = 30.0


class CircuitOpen(FrameworkError, httpx.TransportError):
    """A host failed so often that nothing is sent to it for a while."""


class ResilientTransport(httpx.AsyncBaseTransport):
    """Connections belong to the event loop that uses them, so one client serves loops of any scope.

    Args:
        tls: for ``https``; ``None``: what httpx does by itself.
    """

    def __init__(
        self,
        *,
        retries: RetryPolicy,
        breaker: BreakerPolicy,
        log: RequestLog,
        sent: SentRequests,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._sent = sent
        self._retries = retries
        self._breaker = breaker
        self._breakers = AsyncCircuitBreakerFactory(
            breaker.failures, breaker.seconds, exclude=[asyncio.CancelledError, *_CALLERS]
        )
        self._log = log
        self._tls = tls
        self._plain = PerLoop(self._open_plain, lambda transport: transport.aclose())
        self._secure = PerLoop(self._open_secure, lambda transport: transport.aclose())
        self._reasons: dict[str, str] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self._sent.add(request)
        if not _repeatable(request):
            return await self._attempt(request)
        retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception(_worth_it) | tenacity.retry_if_result(_is_busy),
            stop=tenacity.stop_after_attempt(self._retries.attempts),
            wait=self._wait,
            before_sleep=_let_go,
            retry_error_callback=_last,
        )
        response: httpx.Response = await retrying(self._attempt, request)
        return response

    async def _attempt(self, request: httpx.Request) -> httpx.Response:
        host = request.url.netloc.decode()
        circuit = await self._breakers.get_breaker(host)
        started = time.perf_counter()
        try:
            async with circuit:
                response = await self._send(request)
        except OpenedState as error:
            self._log.add(request, "not sent, the circuit is open", time.perf_counter() - started)
            raise self._given_up(host) from error
        except BaseException as error:
            self._reasons[host] = f"{type(error).__name__}: {error}"
            self._log.add(request, type(error).__name__, time.perf_counter() - started)
            raise
        self._log.add(request, str(response.status_code), time.perf_counter() - started)
        return response

    async def _send(self, request: httpx.Request) -> httpx.Response:
        transports = self._secure if request.url.scheme == "https" else self._plain
        return await (await transports.get()).handle_async_request(request)

    def _given_up(self, host: str) -> CircuitOpen:
        policy = self._breaker
        return CircuitOpen(
            f"{host} gave no answer {policy.failures} times in a row, and gets no request for {policy.seconds:g} s",
            where=f"circuit breaker of {host}",
            cause=self._reasons.get(host),
            fix="look at the request log of this test, and whether the service runs",
        )

    def _wait(self, state: tenacity.RetryCallState) -> float:
        first, longest = self._retries.first_wait, self._retries.longest_wait
        asked = _retry_after(state)
        if asked is None:
            backoff = tenacity.wait_exponential(multiplier=first) + tenacity.wait_random(0, first)
            asked = backoff(state)
        return min(asked, longest)

    async def _open_plain(self) -> httpx.AsyncHTTPTransport:
        # Without TLS there is no need to load all certificates of the machine, which takes 20 ms.
        return httpx.AsyncHTTPTransport(verify=_no_certificates(), limits=_LIMITS)

    async def _open_secure(self) -> httpx.AsyncHTTPTransport:
        return httpx.AsyncHTTPTransport(verify=self._tls or _machines_certificates(), limits=_LIMITS)

    async def aclose(self) -> None:
        """Close the running loop's connections."""
        await self._plain.aclose()
        await self._secure.aclose()

    def close_everywhere(self) -> None:
        """Close the connections of all loops, from where none runs."""
        self._plain.close()
        self._secure.close()


_LIMITS = httpx.Limits(max_connections=100, max_keepalive_connections=20)


@cache
def _no_certificates() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@cache
def _machines_certificates() -> ssl.SSLContext:
    return httpx.create_ssl_context()


def _repeatable(request: httpx.Request) -> bool:
    """Idempotent by its method or by its key, with a body that can be sent twice."""
    idempotent = request.method in _IDEMPOTENT or "idempotency-key" in request.headers
    return idempotent and isinstance(request.stream, httpx.ByteStream)


def _worth_it(error: BaseException) -> bool:
    return isinstance(error, httpx.TransportError) and not isinstance(error, (CircuitOpen, *_CALLERS))


def _is_busy(response: httpx.Response) -> bool:
    return response.status_code in _BUSY


def _retry_after(state: tenacity.RetryCallState) -> float | None:
    outcome = state.outcome
    if outcome is None or outcome.failed:
        return None
    try:
        return max(0.0, float(outcome.result().headers["retry-after"]))
    except (KeyError, ValueError):  # none, or a date, which only a far clock would explain
        return None


async def _let_go(state: tenacity.RetryCallState) -> None:
    """The connection of a busy answer is free for the next attempt."""
    if state.outcome is not None and not state.outcome.failed:
        await state.outcome.result().aclose()


def _last(state: tenacity.RetryCallState) -> Any:
    """All attempts are used up: what the last one brought is what the caller gets."""
    assert state.outcome is not None
    return state.outcome.result()
