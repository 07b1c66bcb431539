"""The line at the top of a run: which stack, where, which versions. Made of what was published; nobody is asked."""

from __future__ import annotations

from test_framework.endpoints import Endpoints
from test_framework.plugin.policy import Decision, Policy
from test_framework.state import StackState

__all__ = ["header_lines"]


def header_lines(endpoints: Endpoints, published: StackState | None, decision: Decision) -> list[str]:
    """What ``pytest`` prints before it collects, without secrets."""
    if decision.policy is Policy.OFF:
        return [f"real services: {decision.describe()}"]
    backend = f"{published.backend} stack {published.stack_name}" if published else "no stack of yours is up"
    versions = published.versions if published else {}
    services = ", ".join(
        f"{name} {version + ' ' if (version := versions.get(name, '')) else ''}at {getattr(endpoints, name).address}"
        for name in ("postgres", "redis", "clickhouse")
    )
    return [f"real services: {backend}; {services}", f"real services: {decision.describe()}"]
