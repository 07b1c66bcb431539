"""Hooks that measure a run: memory after each test, and what all workers measured, summed up at the end."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from test_framework.errors import SettingsError
from test_framework.plugin.run import run_of

if TYPE_CHECKING:
    from test_framework.performance.metrics import Metrics
    from test_framework.plugin.run import Run

__all__ = ["Measuring", "begin_measuring"]

WORKER_OUTPUT = "test_framework_metrics"
_MARKER = "requires_llm: the test asks a language model; skipped without a recording and without TEST_LLM_API_KEY."
# Fewer namespaces than this say nothing that is worth a line at the end of every run.
_WORTH_TELLING = 20


def begin_measuring(config: pytest.Config) -> None:
    """Register the hooks."""
    config.addinivalue_line("markers", _MARKER)
    config.add_cleanup(run_of(config).gauges.lend())
    config.pluginmanager.register(Measuring(config), "test_framework_measuring")


class Measuring:
    """One of these per process. A worker sends what it measured to the controller, which tells all of it."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    @property
    def _run(self) -> Run:
        return run_of(self._config)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        if item.get_closest_marker("requires_llm"):
            from test_framework.plugin.models import require_llm

            require_llm(item)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        result = yield
        if self._run.used and self._run.gauges.measures_memory:
            self._sample(item)
        return result

    def _sample(self, item: pytest.Item) -> None:
        import psutil

        from test_framework.performance.metrics import MemorySample

        fixtures = tuple(name for name in getattr(item, "fixturenames", ()) if name != "request")
        rss = psutil.Process().memory_info().rss
        sample = MemorySample(test=item.nodeid, worker=self._run.worker_id, rss=rss, fixtures=fixtures)
        self._run.gauges.metrics.sampled(sample)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        output = getattr(self._config, "workeroutput", None)
        if output is not None and self._run.used:
            output[WORKER_OUTPUT] = self._run.gauges.metrics.as_dict()

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """What a worker measured; one that was killed has taken it along."""
        values = getattr(node, "workeroutput", {}).get(WORKER_OUTPUT)
        if values is not None:
            from test_framework.performance.metrics import Metrics

            self._run.gauges.metrics.merge(Metrics.from_dict(values))

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        run, file = self._run, self._run.options.report
        if not run.gauges.measured and file is None:
            return
        from test_framework.performance.report import summary_lines

        lines = summary_lines(run.gauges.metrics)
        many = len(run.gauges.metrics.acquisitions) >= _WORTH_TELLING
        written = _write(self._config, file, run.gauges.metrics) if file is not None else None
        if lines and (many or written or any(line.startswith("!") for line in lines)):
            terminalreporter.section("real services")
            for line in lines:
                terminalreporter.line(line)
        if written:
            terminalreporter.line(written)


def _write(config: pytest.Config, file: Path, metrics: Metrics) -> str:
    """Write the report; the line that says where it is. A report that cannot be written does not fail the run."""
    from test_framework.performance.report import write_report

    run = run_of(config)
    workers = {each.worker for each in metrics.memory}
    about = {"level": run.gauges.level.name, "workers": str(max(1, len(workers)))}
    try:
        write_report(Path(config.invocation_params.dir) / file, metrics, about)
    except SettingsError as error:
        return f"! {error}"
    return f"the report is in {file}"
