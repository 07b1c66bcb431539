"""The ratchet: what is new, what is gone, and what the file becomes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from test_framework.errors import SettingsError
from test_framework.migration.baseline import FORMAT, Comparison, Key, compare, load, record, save
from test_framework.migration.model import FileReport, TreeReport
from tests.unit.migration.report.trees import HOSTILE, file, mocks, tree, use

NOWHERE = Path("/nonexistent-project")
"""Nothing exists below it, so what is not in a scan of it is gone."""


def hold(now: TreeReport, before: TreeReport, folder: Path = NOWHERE) -> Comparison:
    return compare(now, record(before, folder=folder), folder=folder)


def at(folder: Path, *files: FileReport) -> TreeReport:
    return tree(*files, root=str(folder))


@st.composite
def some_files(draw: st.DrawFn) -> tuple[FileReport, ...]:
    names = st.sampled_from(["", "test_a", "test_b"])
    kinds = st.sampled_from(["Mock", "patch"])
    files = []
    for number in sorted(draw(st.sets(st.integers(0, 3)))):
        path = f"f{number}.py"
        count = draw(st.integers(0, 4))
        uses = (use(path, line, scope=draw(names), kind=draw(kinds)) for line in range(1, count + 1))
        files.append(file(path, *uses))
    return tuple(files)


@given(some_files())
def test_a_tree_held_against_its_own_record_has_nothing_new_and_nothing_gone(files: tuple[FileReport, ...]) -> None:
    report = at(NOWHERE, *files)
    comparison = hold(report, report)
    assert not comparison.new
    assert not comparison.gone
    assert comparison.tightened == record(report, folder=NOWHERE)


@given(some_files(), some_files())
def test_tightening_never_lets_a_number_grow_and_accepting_gives_what_is_there(
    before: tuple[FileReport, ...], now: tuple[FileReport, ...]
) -> None:
    recorded = record(at(NOWHERE, *before), folder=NOWHERE)
    present = record(at(NOWHERE, *now), folder=NOWHERE)
    comparison = compare(at(NOWHERE, *now), recorded, folder=NOWHERE)
    assert comparison.tightened.total() <= recorded.total()
    assert comparison.tightened <= present
    assert comparison.accepted == present
    assert comparison.tightened.total() + len(comparison.new) == present.total()
    # What was tightened once has nothing more to lose.
    assert not compare(at(NOWHERE, *now), comparison.tightened, folder=NOWHERE).gone


@given(some_files(), st.integers(1, 500))
def test_lines_may_shift_within_their_scopes(files: tuple[FileReport, ...], shift: int) -> None:
    moved = [
        file(each.path, *(use(u.path, u.line + shift, scope=u.scope, kind=u.kind) for u in each.uses)) for each in files
    ]
    comparison = hold(at(NOWHERE, *moved), at(NOWHERE, *files))
    assert not comparison.new
    assert not comparison.gone


def test_of_equal_mocks_the_last_ones_are_the_new_ones() -> None:
    comparison = hold(at(NOWHERE, mocks("a.py", 5)), at(NOWHERE, mocks("a.py", 3)))
    assert [each.line for each in comparison.new] == [4, 5]


@pytest.mark.parametrize("field", ["scope", "kind", "target"])
def test_a_mock_in_another_place_of_another_kind_or_for_another_target_is_new(field: str) -> None:
    now = at(NOWHERE, file("a.py", use("a.py", 1, **{field: "changed"})))
    comparison = hold(now, at(NOWHERE, mocks("a.py", 1)))
    assert len(comparison.new) == 1
    assert comparison.gone.total() == 1


def test_a_file_that_was_renamed_keeps_its_mocks_and_may_not_gain_any() -> None:
    comparison = hold(at(NOWHERE, mocks("new/name.py", 3)), at(NOWHERE, mocks("name.py", 2)))
    assert comparison.moved == 2
    assert [each.line for each in comparison.new] == [3]
    assert comparison.tightened == {Key("new/name.py", "test_it", "Mock", "app.db.pool"): 2}


def test_a_mock_that_moves_into_a_file_that_was_known_already_is_new(tmp_path: Path) -> None:
    other = file("b.py", use("b.py", 1, kind="patch"))
    grown = file("b.py", use("b.py", 1, kind="patch"), use("b.py", 2))
    comparison = hold(at(NOWHERE, grown), at(NOWHERE, mocks("a.py", 1), other))
    assert [each.path for each in comparison.new] == ["b.py"]
    assert comparison.moved == 0


def test_a_file_outside_the_scan_or_unreadable_in_it_keeps_its_record(tmp_path: Path) -> None:
    for name in ("outside.py", "broken.py"):
        (tmp_path / name).touch()
    before = at(tmp_path, mocks("outside.py", 2), mocks("broken.py", 3), mocks("deleted.py", 4))
    comparison = hold(at(tmp_path, file("broken.py", error="SyntaxError")), before, tmp_path)
    assert {key.path: count for key, count in comparison.gone.items()} == {"deleted.py": 4}
    assert {key.path: count for key, count in comparison.tightened.items()} == {"outside.py": 2, "broken.py": 3}


def test_paths_are_relative_to_the_baseline_wherever_the_scan_began(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    whole = at(tmp_path, file("tests/a.py", use("tests/a.py", 1)))
    part = at(tmp_path / "tests", mocks("a.py", 1))
    for folder in (tmp_path, tmp_path / "ci"):
        assert record(whole, folder=folder) == record(part, folder=folder)
    assert next(iter(record(part, folder=tmp_path / "ci"))).path == "../tests/a.py"


def test_what_is_saved_is_loaded_again_and_saving_it_twice_writes_once(tmp_path: Path) -> None:
    recorded = record(at(tmp_path, mocks(HOSTILE, 2), mocks("tests/caf\udce9.py", 1)), folder=tmp_path)
    path = tmp_path / "mocks.json"
    assert save(path, recorded)
    assert load(path) == recorded
    assert not save(path, recorded)
    assert path.read_text("ascii").count("\n") == 8  # an entry has one line: changes stay small


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"<<<<<<< HEAD\n{}", "Expecting value"),
        (b"\xff\xfe", "codec can't decode"),
        (b"[]", "not a baseline"),
        (b'{"format": "other"}', "not a baseline"),
        (json.dumps({"format": FORMAT, "version": 2, "mocks": []}).encode(), "this program knows 1"),
        (json.dumps({"format": FORMAT, "version": 1}).encode(), "KeyError: 'mocks'"),
        (json.dumps({"format": FORMAT, "version": 1, "mocks": 7}).encode(), "TypeError"),
        (json.dumps({"format": FORMAT, "version": 1, "mocks": [{"path": "a"}]}).encode(), "KeyError: 'scope'"),
        (
            json.dumps(
                {
                    "format": FORMAT,
                    "version": 1,
                    "mocks": [{"path": "a", "scope": "", "kind": "Mock", "target": "", "count": 0}],
                }
            ).encode(),
            "entry 1 has a value of the wrong type",
        ),
        (
            json.dumps(
                {
                    "format": FORMAT,
                    "version": 1,
                    "mocks": [{"path": "a", "scope": "", "kind": "Mock", "target": "", "count": 1}] * 2,
                }
            ).encode(),
            "entry 2 records a",
        ),
    ],
)
def test_a_file_that_is_no_baseline_is_refused_with_the_reason(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "mocks.json"
    path.write_bytes(content)
    with pytest.raises(SettingsError) as caught:
        load(path)
    assert words in (caught.value.cause or "")
    assert caught.value.where == str(path)


def test_a_missing_baseline_says_how_it_is_made(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="--update-baseline"):
        load(tmp_path / "none.json")
