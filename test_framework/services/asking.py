"""Ask a server something within a time limit: what is equal for all services, whatever they speak."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from test_framework.errors import AuthenticationRefused, FrameworkError, ServiceUnavailable
from test_framework.services.base import Answer, Diagnosis, Health, Probe

__all__ = ["ask_server", "diagnose_socket", "probe_server"]

T = TypeVar("T")
Diagnose = Callable[[BaseException], Diagnosis]


async def ask_server(
    service: str, address: str, timeout: float, ask: Callable[[], Awaitable[T]], diagnose: Diagnose
) -> T:
    """``await ask()`` within ``timeout`` seconds, a driver's error translated once, its cause chained.

    Raises:
        ServiceUnavailable: or ``AuthenticationRefused``.
    """
    try:
        async with asyncio.timeout(timeout):
            return await ask()
    except TimeoutError as error:
        raise _unavailable(service, address, _timed_out(timeout)) from error
    except FrameworkError:
        raise
    except Exception as error:
        raise _unavailable(service, address, diagnose(error)) from error


async def probe_server(
    service: str, address: str, timeout: float, ask: Callable[[], Awaitable[Answer]], diagnose: Diagnose
) -> Probe:
    """One :class:`Probe` from ``ask``; never raises for a server that is down, slow or strange."""
    started = time.perf_counter()
    try:
        async with asyncio.timeout(timeout):
            answer = await ask()
    except TimeoutError:
        found = _timed_out(timeout)
    except Exception as error:
        found = diagnose(error)
    else:
        return Probe(
            service=service,
            health=Health.HEALTHY,
            address=address,
            latency_ms=(time.perf_counter() - started) * 1000,
            version=answer.version,
            memory_bytes=answer.memory_bytes,
            connections=answer.connections,
            seed=answer.seed,
        )
    return Probe(service=service, health=found.health, address=address, problem=found.cause)


def _timed_out(timeout: float) -> Diagnosis:
    return Diagnosis(
        health=Health.UNRESPONSIVE,
        cause=f"no answer within {timeout:g} s",
        fix="look at its log (make test-logs), or raise TEST_CONNECTION_TIMEOUT",
    )


def diagnose_socket(error: BaseException) -> Diagnosis | None:
    """What every protocol shares: nobody there, a name that does not resolve, a connection that broke."""
    if isinstance(error, TimeoutError):
        return Diagnosis(health=Health.UNRESPONSIVE, cause="no answer in time")
    if isinstance(error, OSError | EOFError):
        return Diagnosis(
            health=Health.UNREACHABLE,
            cause=error.strerror if isinstance(error, OSError) and error.strerror else str(error) or "connection lost",
            fix="start the stack: make test-up",
        )
    return None


def _unavailable(service: str, address: str, found: Diagnosis) -> ServiceUnavailable:
    kind = AuthenticationRefused if found.health is Health.REFUSED else ServiceUnavailable
    return kind(
        f"{service} at {address} is {found.health.value}",
        service=f"test-{service}",
        where=address,
        cause=found.cause,
        fix=found.fix,
    )
