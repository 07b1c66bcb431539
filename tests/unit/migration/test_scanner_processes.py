"""Processes that are killed while they read."""

from __future__ import annotations

from pathlib import Path

import pytest

from test_framework.migration import reading
from test_framework.migration.processes import KILLED, worked
from test_framework.migration.scanner import scan
from tests.unit.migration.killing import POISON, doubled_or_die, read_or_die


def test_only_the_items_that_kill_their_process_have_no_answer() -> None:
    answers = [(list(part), answer) for part, answer in worked(doubled_or_die, [[1, -4], [5]], 1)]
    assert sorted(answers) == [([-4], None), ([1], [2]), ([5], [10])]


def test_a_file_that_kills_the_process_reading_it_is_named_and_all_others_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("test_a", f"test_{POISON}", "test_c"):
        (tmp_path / f"{name}.py").write_text("from unittest.mock import Mock\nx = Mock()\n")
    monkeypatch.setattr(reading, "ALONE", 0)
    monkeypatch.setattr(reading, "PART", 2)
    monkeypatch.setattr(reading, "_work", read_or_die)
    report = scan([tmp_path], jobs=2)
    assert {file.path: file.error for file in report.files if file.error} == {f"test_{POISON}.py": KILLED}
    assert [use.path for use in report.uses] == ["test_a.py", "test_c.py"]
