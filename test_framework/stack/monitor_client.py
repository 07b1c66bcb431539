"""Ask the stack's monitor how everything is. Only the standard library: a warm ``up`` must not load any driver."""

from __future__ import annotations

import asyncio
import http.client
import json
from collections.abc import Callable
from typing import Any

from test_framework.endpoints import MonitorEndpoint
from test_framework.errors import ServiceUnavailable
from test_framework.waiting import Deadline, wait_until

__all__ = ["fetch_health", "wait_for_monitor"]


def fetch_health(endpoint: MonitorEndpoint, timeout: float = 1.0) -> dict[str, Any] | None:
    """The JSON of ``/health-status``, healthy or not; ``None`` when no monitor answers there within ``timeout`` s."""
    connection = http.client.HTTPConnection(endpoint.host, endpoint.port, timeout=timeout)
    try:
        connection.request("GET", "/health-status")
        answer = json.loads(connection.getresponse().read())
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()
    return answer if isinstance(answer, dict) else None


async def wait_for_monitor(
    endpoint: MonitorEndpoint,
    deadline: Deadline,
    *,
    log: Callable[[], str],
    check_alive: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Wait until the monitor calls the whole stack healthy, and return what it says.

    ``check_alive`` raises when the monitor has died, which ends the wait at once.

    Raises:
        ServiceUnavailable: it did not in time; the message holds its last answer.
    """
    last: list[dict[str, Any] | None] = [None]

    async def check() -> dict[str, Any] | None:
        last[0] = await asyncio.to_thread(fetch_health, endpoint)
        if last[0] is None:
            check_alive()
        return last[0] if last[0] and last[0].get("status") == "healthy" else None

    answer = await wait_until(check, deadline, interval=0.03)
    if answer is None:
        raise ServiceUnavailable(
            f"the monitor does not report a healthy stack after {deadline.seconds:.0f} s",
            service="test-monitor",
            where=f"{endpoint.base_url}/health-status",
            cause=json.dumps(last[0])[:2000] if last[0] else "no answer",
            fix="look at the service it names, and at the log below",
            log_tail=log(),
        )
    return answer
