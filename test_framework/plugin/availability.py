"""Asking a service whether it is there: once per process, when the first test needs it, and again when one was lost."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import urlsplit

import pytest

from test_framework.endpoints import Endpoints
from test_framework.errors import AuthenticationRefused, ServiceUnavailable
from test_framework.plugin.policy import Decision, Policy, Verdict, judge
from test_framework.services.base import Health, Probe
from test_framework.waiting import Deadline

__all__ = ["Availability", "LogTail"]

# pytest shows the user's line, not ours; --full-trace shows all.
__tracebackhide__ = True

LogTail = Callable[[str], str]
RunProbe = Callable[[Coroutine[Any, Any, Probe]], Probe]

# What a supervisor may take to start a server again before it counts as lost.
_COMING_BACK = 4.0
_FIXES = {
    Health.UNREACHABLE: "start the stack: make test-up",
    Health.UNRESPONSIVE: "look at its log: make test-logs",
    Health.REFUSED: "check the TEST_*_USER and TEST_*_PASSWORD variables, or make test-down test-up",
    Health.FAILED: "look at its log: make test-logs",
}


class Availability:
    """What is known about each service.

    Args:
        run: runs a coroutine to its end, whatever loop the caller is in.
        log_tail: the last lines of a service's log.
    """

    def __init__(
        self, endpoints: Endpoints, decision: Decision, *, timeout: float, run: RunProbe, log_tail: LogTail
    ) -> None:
        self._endpoints = endpoints
        self._decision = decision
        self._timeout = timeout
        self._run = run
        self._log_tail = log_tail
        self._probes: dict[str, Probe] = {}
        self._lost: dict[str, ServiceUnavailable] = {}
        self._addresses: dict[str, str | None] = {}

    def require(self, service: str) -> None:
        """Return if the calling test may use ``service``; otherwise skip it, or raise.

        Raises:
            ServiceUnavailable: it cannot be used and must be.
        """
        if self._decision.policy is Policy.OFF:
            raise _skipped(f"real services are switched off by {self._decision.reason}")
        if service in self._lost:
            raise self._lost[service]
        probe = self._probes.get(service)
        if probe is None:
            probe = self._probes[service] = self.ask(service)
        verdict = judge(self._decision, probe)
        if verdict is Verdict.SKIP:
            raise _skipped(f"{_sentence(probe)}; {_FIXES[probe.health]}")
        if verdict is Verdict.ERROR:
            raise self.error(probe, self._decision.reason)

    def require_address(self, what: str, url: str) -> None:
        """The same for a service that somebody else runs: whether anybody listens at ``url``, asked once.

        Raises:
            ServiceUnavailable: nobody does, and somebody must.
        """
        if self._decision.policy is Policy.OFF:
            raise _skipped(f"real services are switched off by {self._decision.reason}")
        if url not in self._addresses:
            self._addresses[url] = _listening(url, self._timeout)
        problem = self._addresses[url]
        if problem is None:
            return
        fix = f"start it, or unset {what}: the tests then start one of their own"
        if self._decision.policy is Policy.AUTO:
            raise _skipped(f"nobody listens at {url} ({what}): {problem}; {fix}")
        raise ServiceUnavailable(
            f"nobody listens at {url}", service=what, where=f"the variable {what}", cause=problem, fix=fix
        )

    def ask(self, service: str) -> Probe:
        """Ask now."""
        from test_framework.health import probe_service
        from test_framework.services.registry import service_named

        async def work() -> Probe:
            return (await probe_service(service_named(service), self._endpoints, timeout=self._timeout)).probe

        return self._run(work())

    def error(self, probe: Probe, reason: str | None = None) -> ServiceUnavailable:
        """What a probe that is not healthy means, with the end of the service's log."""
        kind = AuthenticationRefused if probe.health is Health.REFUSED else ServiceUnavailable
        return kind(
            _sentence(probe),
            service=f"test-{probe.service}",
            log_tail=self._log_tail(probe.service),
            where=probe.address,
            cause=f"real services are required: {reason}" if reason else None,
            fix=_FIXES.get(probe.health),
        )

    def recheck(self, service: str, *, died: bool = False) -> ServiceUnavailable | None:
        """After trouble: ``None`` when the service works and worked all the time, else what is wrong with it.

        ``died`` is known when somebody else saw it: it may be up again before it is asked.

        A service that is gone, or came back without its data, is lost for all later tests: they fail at once.
        """
        before = self._probes.get(service)
        if before is None or before.health is not Health.HEALTHY or service in self._lost:
            return self._lost.get(service)  # otherwise it was said already what is wrong with it
        first = self.ask(service)
        probe = first if first.health is Health.HEALTHY else self._ask_until_back(service)
        if probe.health is Health.HEALTHY and _identity(probe) != _identity(before):
            return self._lose(
                probe, "was restarted during the run, and its data is gone", "seed it again: make test-up"
            )
        if probe.health is not Health.HEALTHY:
            return self._lose(probe, f"was lost during the run: {_sentence(probe)}", _FIXES[probe.health])
        if first.health is Health.HEALTHY and not died:
            return None
        error = self.error(first)
        error.what = f"{service} at {probe.address} was away for a moment during this test"
        error.cause, error.fix = first.problem, "run the test again"
        return error

    def _lose(self, probe: Probe, what: str, fix: str) -> ServiceUnavailable:
        error = self._lost[probe.service] = self.error(probe)
        error.what, error.fix = f"{probe.service} {what}", fix
        return error

    def _ask_until_back(self, service: str) -> Probe:
        """A supervisor may be starting it again."""
        deadline = Deadline.after(_COMING_BACK)
        while True:
            time.sleep(0.1)
            probe = self.ask(service)
            if probe.health in (Health.HEALTHY, Health.REFUSED) or deadline.expired:
                return probe

    @property
    def lost(self) -> frozenset[str]:
        """The services that are gone for good."""
        return frozenset(self._lost)


def _identity(probe: Probe) -> str | None:
    return probe.seed.stack_id if probe.seed else None


def _listening(url: str, timeout: float) -> str | None:
    """``None`` if so, else why not."""
    parts = urlsplit(url)
    try:
        port = parts.port or (443 if parts.scheme in ("https", "wss") else 80)
        socket.create_connection((parts.hostname or "", port), timeout).close()
    except (OSError, ValueError) as error:
        return str(error)
    return None


def _skipped(reason: str) -> BaseException:
    """A skip that the summary can tell from the tests' own."""
    skip = pytest.skip.Exception(reason, _use_item_location=True)
    skip.service_skip = reason  # type: ignore[attr-defined]
    return skip


def _sentence(probe: Probe) -> str:
    words = {
        Health.HEALTHY: "answers again",
        Health.UNREACHABLE: "cannot be reached",
        Health.UNRESPONSIVE: "accepts connections and does not answer",
        Health.REFUSED: "refuses the credentials",
        Health.FAILED: "answers with an error",
    }
    problem = f" ({probe.problem})" if probe.problem else ""
    return f"{probe.service} at {probe.address} {words[probe.health]}{problem}"
