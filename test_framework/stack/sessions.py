"""Test sessions that use a stack: asked for before it is taken away from them."""

from __future__ import annotations

from test_framework.endpoints import Endpoints
from test_framework.errors import FrameworkError, StackBusy
from test_framework.isolation.values import ReapReport

__all__ = ["reclaim_all", "refuse_live_sessions"]

# A server that hangs must not keep anybody from stopping it.
_TIMEOUT = 2.0


async def refuse_live_sessions(endpoints: Endpoints) -> None:
    """Raise if tests are running on the stack. A stack that does not answer has none.

    Raises:
        StackBusy: naming them.
    """
    from test_framework.services.reaping import live_sessions

    try:
        sessions = await live_sessions(endpoints, timeout=_TIMEOUT)
    except FrameworkError:
        return
    if sessions:
        raise StackBusy(
            f"{len(sessions)} test session{'s' * (len(sessions) > 1)} use the stack",
            where=endpoints.postgres.address,
            cause=", ".join(sessions),
            fix="wait until they end, or stop the stack under them: test-framework down --force",
        )


async def reclaim_all(endpoints: Endpoints, *, timeout: float) -> ReapReport:
    """Leave nothing of any session on servers that go on running: dead sessions, kept databases, the pool.

    Raises:
        ServiceUnavailable: the server that keeps the books does not answer.
    """
    from test_framework.services.reaping import reap

    return await reap(endpoints, timeout=timeout, kept=True, pool=True)
