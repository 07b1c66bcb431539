"""The cache changes how long a scan takes and nothing else."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from test_framework.migration import scanner
from test_framework.migration.cache import Cache
from test_framework.migration.scanner import scan

LABELLED = Path(__file__).resolve().parents[2] / "data" / "migration" / "labelled"
BROKEN = 2  # files of the set that do not parse; those are read again each time
MOCKED = "from unittest.mock import Mock\nx = Mock()\n"


def test_a_second_scan_reads_from_the_cache_and_says_the_same(tmp_path: Path) -> None:
    first = scan([LABELLED], cache=tmp_path, jobs=1)
    second = scan([LABELLED], cache=tmp_path, jobs=1)
    assert first.cached == 0
    assert second.cached == len(second.files) - BROKEN
    assert first == second == scan([LABELLED], jobs=1)


def test_several_processes_say_what_one_says(tmp_path: Path) -> None:
    assert scan([LABELLED], jobs=2) == scan([LABELLED], jobs=1)


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    file, cache = tmp_path / "test_a.py", tmp_path / "cache"
    file.write_text(MOCKED)
    assert len(scan([file], cache=cache).uses) == 1
    file.write_text(MOCKED + "y = Mock()\n")
    assert len(scan([file], cache=cache).uses) == 2


def test_a_change_of_a_conftest_changes_the_files_that_ask_for_its_fixtures(tmp_path: Path) -> None:
    tree, cache = tmp_path / "tree", tmp_path / "cache"
    tree.mkdir()
    (tree / "test_a.py").write_text("def test_a(db):\n    assert db\n")
    conftest = tree / "conftest.py"
    conftest.write_text(
        "import pytest\nfrom unittest.mock import Mock\n@pytest.fixture\ndef db():\n    return Mock()\n"
    )
    assert len(scan([tree], cache=cache).uses) == 3
    conftest.write_text("import pytest\n@pytest.fixture\ndef db():\n    return 1\n")
    assert scan([tree], cache=cache).uses == ()


def test_a_renamed_mock_of_another_file_is_followed_with_the_cache_too(tmp_path: Path) -> None:
    tree, cache = tmp_path / "tree", tmp_path / "cache"
    tree.mkdir()
    (tree / "doubles.py").write_text("from unittest.mock import Mock as Double\n")
    (tree / "test_a.py").write_text("from doubles import Double\nx = Double()\n")
    for _ in range(2):
        assert [use.kind for use in scan([tree], cache=cache).uses] == ["Mock"]
    (tree / "doubles.py").write_text("Double = dict\n")
    assert scan([tree], cache=cache).uses == ()


@pytest.mark.parametrize("content", [b"", b"this is no database", b"SQLite format 3\0" + b"\xff" * 4096])
def test_a_broken_cache_is_replaced(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "scan.sqlite3").write_bytes(content)
    assert scan([LABELLED], cache=tmp_path, jobs=1).uses
    assert scan([LABELLED], cache=tmp_path, jobs=1).cached > 0


def test_an_entry_that_makes_no_sense_is_read_again(tmp_path: Path) -> None:
    before = scan([LABELLED], cache=tmp_path, jobs=1)
    with sqlite3.connect(tmp_path / "scan.sqlite3") as database:
        database.execute("UPDATE facts SET facts = x'00' WHERE number % 2 = 0")
        database.execute("UPDATE facts SET facts = NULL WHERE number % 3 = 0")
    database.close()
    assert scan([LABELLED], cache=tmp_path, jobs=1) == before


def test_a_cache_folder_that_cannot_be_made_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    assert scan([LABELLED], cache=tmp_path / "file" / "cache", jobs=1).uses


def test_other_rules_do_not_take_the_answers_of_these(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scan([LABELLED], cache=tmp_path, jobs=1)
    monkeypatch.setattr(scanner, "VERSION", "another")
    assert scan([LABELLED], cache=tmp_path, jobs=1).cached == 0


def test_the_oldest_are_forgotten_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from test_framework.migration import cache as module
    from test_framework.migration.facts import empty

    monkeypatch.setattr(module, "CAPACITY", 3)
    store = Cache(tmp_path)
    for number in range(5):
        store.keep({str(number): empty(lines=number)})
    assert sorted(store.find(map(str, range(5)))) == ["2", "3", "4"]


def test_progress_counts_up_to_all_files(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    report = scan([LABELLED], cache=tmp_path, jobs=1, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (len(report.files), len(report.files))
    assert told == sorted(told)
