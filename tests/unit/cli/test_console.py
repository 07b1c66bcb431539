"""Progress: plain lines for machines, one line per service for people."""

from __future__ import annotations

import io
import re

import pytest

from test_framework.cli.console import LiveReporter, PlainReporter, make_reporter


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_plain_lines_hold_the_time_the_service_and_what_happens() -> None:
    stream = io.StringIO()
    with PlainReporter(stream) as report:
        report("", "backend native")
        report("test-redis", "healthy")
    lines = stream.getvalue().splitlines()
    assert re.fullmatch(r"\[ *\d+\.\d\d s\] stack            backend native", lines[0])
    assert re.fullmatch(r"\[ *\d+\.\d\d s\] test-redis       healthy", lines[1])


def test_a_terminal_shows_the_last_word_of_each_service() -> None:
    stream = Terminal()
    with LiveReporter(stream) as report:
        report("test-redis", "starting")
        report("test-redis", "healthy (version 7)")
    last = [line for line in stream.getvalue().splitlines() if "test-redis" in line][-1]
    assert "healthy (version 7)" in last
    assert "starting" not in last


def test_a_warning_stays_on_the_terminal_whatever_is_said_later() -> None:
    stream = Terminal()
    with LiveReporter(stream) as report:
        report("", "warning: [this] has no effect")
        report("", "stopping")
    assert "warning: [this] has no effect" in stream.getvalue()


@pytest.mark.parametrize(
    ("stream", "environment", "kind"),
    [
        (Terminal(), {"TERM": "xterm"}, LiveReporter),
        (Terminal(), {"TERM": "xterm", "CI": "true"}, PlainReporter),
        (Terminal(), {"TERM": "dumb"}, PlainReporter),
        (io.StringIO(), {"TERM": "xterm"}, PlainReporter),
    ],
)
def test_pipes_ci_and_dumb_terminals_get_plain_lines(
    monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, environment: dict[str, str], kind: type
) -> None:
    for name in ("CI", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert isinstance(make_reporter(stream), kind)
