"""Hooks about results: reports marked, counted, summed up."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from test_framework.plugin import trouble
from test_framework.plugin.keeping import HINT
from test_framework.plugin.owned import failed_key, kept_key, owned_key
from test_framework.plugin.run import KEY

__all__ = ["Reporting"]


class Reporting:
    """One of these per process; the controller's sees the reports of all workers."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self.tally = trouble.Tally()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """In the process that runs the test: look behind a failure."""
        report = yield
        if call.when == "teardown" and (lines := item.stash.get(kept_key, None)):
            vars(report)["kept_lines"] = lines
            item.stash[kept_key] = []
        if report.failed and call.excinfo is not None:
            if not item.stash.get(failed_key, False) and (owned := item.stash.get(owned_key, None)) is not None:
                report.sections.extend(owned.sections())
            item.stash[failed_key] = True
            self._look_behind(item, report, call.excinfo.value)
        if (
            report.skipped
            and call.excinfo is not None
            and (reason := getattr(call.excinfo.value, "service_skip", None))
        ):
            vars(report)["service_skip"] = reason
        return report

    def _look_behind(self, item: pytest.Item, report: pytest.TestReport, error: BaseException) -> None:
        run = self._config.stash[KEY]
        owned = item.stash.get(owned_key, None)
        services = owned.services if owned is not None else []
        if not run.used or not (services or trouble.trouble_of(error)):
            return
        found = trouble.diagnose(error, services, run.availability, run.broker.explain)
        if found is not None:
            trouble.mark_report(item, report, found)
        if "postgres" in run.availability.lost:
            # Postgres keeps the books for all services: without it every later test could only fail the same way.
            item.session.shouldfail = "the stack is lost: PostgreSQL is gone, and with it the data of all tests"
            vars(report)["stack_lost"] = True

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """In the process that reports: count."""
        self.tally.count(report)

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(self, report: Any) -> tuple[str, str, str] | None:
        if isinstance(report, pytest.TestReport) and report.failed and trouble.has_trouble(report):
            return "error" if report.when != "call" else "failed", "!", "STACK TROUBLE"
        return None

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> Generator[None, None, None]:
        session.exitstatus = trouble.exit_status(int(exitstatus), self.tally)
        return (yield)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        tell(terminalreporter, self.tally)


def tell(terminal: pytest.TerminalReporter, tally: trouble.Tally) -> None:
    """The sections at the end of a run; none when there is nothing to say."""
    if tally.kept:
        terminal.section("kept for you")
        for nodeid, lines in tally.kept:
            terminal.line(nodeid)
            for line in lines:
                terminal.line(f"  {line}")
        terminal.line(f"{HINT}; drop it all: test-framework reap --kept")
    if tally.troubled:
        terminal.section("stack trouble", red=True)
        for nodeid, service in tally.troubled.items():
            terminal.line(f"{service}: {nodeid}")
        others = f"{tally.failed} other failures are the tests' own" if tally.failed else "no test failed by itself"
        terminal.line(f"{len(tally.troubled)} tests ended by trouble with the stack; {others}")
    if tally.skipped:
        terminal.section("skipped for want of a service")
        for reason, count in tally.skipped.items():
            terminal.line(f"{count} tests: {reason}")
    if tally.crashed:
        terminal.section("crashed workers")
        for line in tally.crashed:
            terminal.line(line)
