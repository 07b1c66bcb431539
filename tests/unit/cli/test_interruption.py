"""Signals while many files are read, rewritten or written."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from test_framework.cli.scanning import Interruption
from test_framework.migration.writing import Source, read_source, replace_all

NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.mark.parametrize("number", NUMBERS)
def test_the_first_signal_waits_for_the_next_report(number: signal.Signals) -> None:
    seen = []
    with pytest.raises(KeyboardInterrupt), Interruption() as interruption:
        report = interruption.watched(lambda done, total: seen.append((done, total)))
        report(1, 3)
        os.kill(os.getpid(), number)
        seen.append((0, 0))  # nothing was cut short
        report(2, 3)
    assert seen == [(1, 3), (0, 0)]


def test_the_second_signal_waits_for_nothing() -> None:
    with pytest.raises(KeyboardInterrupt), Interruption():
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        pytest.fail("the second signal came and nothing happened")


def test_what_fails_after_the_signal_is_an_interruption_and_a_late_one_is_not_lost() -> None:
    with pytest.raises(KeyboardInterrupt), Interruption():
        os.kill(os.getpid(), signal.SIGTERM)
        raise OSError("a child of ours died of the same signal")
    with pytest.raises(KeyboardInterrupt), Interruption():
        os.kill(os.getpid(), signal.SIGTERM)


def test_handlers_are_put_back_and_ignored_signals_stay_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        others = [signal.getsignal(number) for number in NUMBERS]
        with Interruption():
            os.kill(os.getpid(), signal.SIGHUP)
        assert [signal.getsignal(number) for number in NUMBERS] == others
    finally:
        signal.signal(signal.SIGHUP, before)


def test_files_that_were_written_before_a_signal_are_put_back(tmp_path: Path) -> None:
    for name in ("0.py", "1.py"):
        (tmp_path / name).write_text("old")

    def changes(interruption: Interruption) -> Iterator[tuple[Source, str]]:
        look = interruption.watched(None)
        for name in ("0.py", "1.py"):
            look(0, 2)
            yield read_source(tmp_path / name), "new"
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt), Interruption() as interruption:
        replace_all(changes(interruption))
    assert [(tmp_path / name).read_text() for name in ("0.py", "1.py")] == ["old", "old"]
