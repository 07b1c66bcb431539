"""Trouble with the stack, told apart from failing tests: in reports, summary, JUnit and exit status."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from test_framework.errors import ServiceUnavailable, StackError

if TYPE_CHECKING:
    from test_framework.plugin.availability import Availability

__all__ = ["EXIT_STACK", "Tally", "diagnose", "exit_status", "lost_connection", "mark_report", "trouble_of"]

# pytest's own end at 5; plugins of others use the numbers directly behind. Documented in docs/pytest.md.
EXIT_STACK = 14
PROPERTY = "stack_trouble"
SKIP_MARK = "real services"

# Errors by which drivers say that the server is gone, by module and name: no driver is imported for this.
_LOST = {
    "asyncpg": {
        "CannotConnectNowError", "ConnectionDoesNotExistError", "ConnectionFailureError", "AdminShutdownError",
        "InternalClientError", "CrashShutdownError", "ConnectionRejectionError", "InterfaceError",
        "PostgresConnectionError", "TooManyConnectionsError", "DiskFullError", "OutOfMemoryError",
    },
    "psycopg": {"OperationalError", "AdminShutdown", "CrashShutdown"},
    "redis": {"ConnectionError", "TimeoutError", "BusyLoadingError"},
    "clickhouse_connect": {"OperationalError"},
    "aiohttp": {"ClientConnectionError", "ClientConnectorError", "ServerDisconnectedError", "ClientOSError"},
    "sqlalchemy": {"OperationalError", "InterfaceError", "DBAPIError"},
    "urllib3": {"HTTPError", "ProtocolError", "MaxRetryError", "NewConnectionError"},
}  # fmt: skip

_FULL = ("too many clients already", "remaining connection slots are reserved")


def _chain(error: BaseException) -> Iterator[BaseException]:
    """``error``, its causes and contexts, and what groups hold."""
    pending, seen = [error], set()
    while pending:
        each = pending.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        pending += [linked for linked in (each.__cause__, each.__context__) if linked is not None]
        if isinstance(each, BaseExceptionGroup):
            pending += each.exceptions


def trouble_of(error: BaseException) -> StackError | None:
    """The error of ours that says what is wrong with the stack, wherever in the chain it is."""
    return next((each for each in _chain(error) if isinstance(each, StackError)), None)


def lost_connection(error: BaseException) -> bool:
    """Whether a driver says that its server is gone, slow or full."""
    return any(
        isinstance(each, ConnectionError | TimeoutError)
        or any(kind.__name__ in _LOST.get(kind.__module__.partition(".")[0], ()) for kind in type(each).__mro__)
        for each in _chain(error)
    )


# The last: asyncpg's, when the end of a connection came between two of its steps.
_CRASHED = ("CrashShutdownError", "CrashShutdown", "InternalClientError")
# Of the server's last words, or of drivers that did not even hear those.
_DIED = (
    "unexpected postmaster exit",
    "connection was closed in the middle of operation",
    "server closed the connection unexpectedly",
)


def server_died(error: BaseException) -> bool:
    """Whether the server crashed, or a part of it: it may be up again before anybody can ask."""
    return any(type(each).__name__ in _CRASHED or any(words in str(each) for words in _DIED) for each in _chain(error))


def no_connection_left(error: BaseException) -> BaseException | None:
    """The error by which PostgreSQL, as a whole, refused one more connection. psycopg says so in words only."""
    return next((each for each in _chain(error) if any(words in str(each) for words in _FULL)), None)


def diagnose(
    error: BaseException, services: list[str], availability: Availability, explain: Callable[[ServiceUnavailable], None]
) -> StackError | None:
    """What was wrong with the stack when ``error`` ended a test that uses ``services``; ``None``: nothing was.

    ``explain`` adds to an error who holds the connections.
    """
    found = trouble_of(error)
    if found is None and not lost_connection(error):
        return None
    if "postgres" in services and (refused := no_connection_left(error)) is not None:
        return found or _exhausted(refused, explain)  # nothing was lost: asking the server would only be refused, too
    concerned = [found.service.removeprefix("test-")] if isinstance(found, ServiceUnavailable) else services
    for service in concerned:
        died = service == "postgres" and server_died(error)
        if (loss := availability.recheck(service, died=died)) is not None:
            return loss
    return found


def _exhausted(refused: BaseException, explain: Callable[[ServiceUnavailable], None]) -> ServiceUnavailable:
    error = ServiceUnavailable(
        "postgres has no connection left",
        service="test-postgres",
        cause=str(refused).strip(),
        fix="close connections that are not needed any more, or raise POSTGRES_MAX_CONNECTIONS",
    )
    explain(error)
    return error


def mark_report(item: pytest.Item, report: pytest.TestReport, trouble: StackError) -> None:
    """Write it into the report: it crosses to the xdist controller, and JUnit shows it as a property of the test."""
    service = trouble.service if isinstance(trouble, ServiceUnavailable) else "stack"
    report.user_properties.append((PROPERTY, service))
    item.user_properties.append((PROPERTY, service))  # JUnit reads them from the last report of the test
    report.sections.append(("stack trouble", str(trouble)))


def has_trouble(report: pytest.TestReport) -> bool:
    return any(name == PROPERTY for name, _ in report.user_properties)


@dataclass
class Tally:
    """What a whole run came to, as the controller sees it."""

    troubled: dict[str, str] = field(default_factory=dict)
    failed: int = 0
    lost: bool = False
    skipped: dict[str, int] = field(default_factory=dict)
    kept: list[tuple[str, list[str]]] = field(default_factory=list)
    crashed: list[str] = field(default_factory=list)

    def count(self, report: pytest.TestReport) -> None:
        """Take one phase of one test into account."""
        if report.failed and not has_trouble(report):
            self.failed += 1
        elif report.failed:
            self.troubled[report.nodeid] = next(
                str(value) for name, value in report.user_properties if name == PROPERTY
            )
        self.lost = self.lost or getattr(report, "stack_lost", False)
        lines = getattr(report, "kept_lines", None)
        if lines:
            self.kept.append((report.nodeid, list(lines)))
        reason = getattr(report, "service_skip", None)
        if report.skipped and reason:
            self.skipped[reason] = self.skipped.get(reason, 0) + 1


def exit_status(current: int, tally: Tally) -> int:
    """The run's exit status: ``EXIT_STACK`` when nothing but the stack failed, so that a job can be tried again."""
    if not tally.troubled or tally.failed:
        return current
    # A run that was stopped because the stack is gone counts as interrupted under xdist.
    ended = (
        (pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.INTERRUPTED) if tally.lost else (pytest.ExitCode.TESTS_FAILED,)
    )
    return EXIT_STACK if current in ended else current
