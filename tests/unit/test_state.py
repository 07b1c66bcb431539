"""The state file is whole, private, and never a reason for a traceback."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from test_framework.endpoints import Endpoints, RedisEndpoint, Secret
from test_framework.errors import SettingsError
from test_framework.state import StackState, find_state_directory, read_state, remove_state, write_state

STATE = StackState(
    stack_name="name",
    backend="native",
    stack_id="abc",
    definition="def",
    project_dir="/p",
    started_at=1.5,
    endpoints=Endpoints(redis=RedisEndpoint(port=7, password=Secret("canary"))),
    versions={"redis": "7.0.15"},
    run_dir="/r",
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    write_state(tmp_path / "s", STATE)
    assert read_state(tmp_path / "s") == STATE


def test_the_file_and_its_directory_are_for_their_owner_alone(tmp_path: Path) -> None:
    write_state(tmp_path / "s", STATE)
    assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "s" / "state.json").stat().st_mode) == 0o600
    assert [file.name for file in (tmp_path / "s").iterdir()] == ["state.json"]


def test_nothing_published_is_none(tmp_path: Path) -> None:
    assert read_state(tmp_path) is None
    assert read_state(tmp_path / "nowhere") is None
    (tmp_path / "file").touch()
    assert read_state(tmp_path / "file") is None


def test_removing_twice_is_harmless(tmp_path: Path) -> None:
    write_state(tmp_path, STATE)
    remove_state(tmp_path)
    remove_state(tmp_path)
    assert read_state(tmp_path) is None


def assert_read_or_refused(directory: Path, content: bytes) -> None:
    (directory / "state.json").write_bytes(content)
    try:
        read_state(directory)
    except SettingsError as error:
        assert error.where == str(directory / "state.json")
        assert "test-down" in (error.fix or "")


@given(content=st.binary(max_size=50))
def test_any_bytes_are_read_or_refused_with_the_place(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    assert_read_or_refused(tmp_path_factory.getbasetemp(), content)


@given(values=st.dictionaries(st.sampled_from(["version", "endpoints", "stack_name", "x"]), JSON))
def test_any_json_is_read_or_refused_with_the_place(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, Any]
) -> None:
    assert_read_or_refused(tmp_path_factory.getbasetemp(), json.dumps({"version": 1, **values}).encode())


def test_the_base_directory_replaces_the_users_own(tmp_path: Path) -> None:
    assert find_state_directory("name", str(tmp_path)) == tmp_path / "name"


def test_a_relative_base_does_not_depend_on_where_it_is_asked_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_state_directory("name", "state") == tmp_path / "state" / "name"


def test_looking_for_the_directory_creates_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    directory = find_state_directory("name")
    assert directory.is_relative_to(tmp_path)
    assert list(tmp_path.iterdir()) == []
