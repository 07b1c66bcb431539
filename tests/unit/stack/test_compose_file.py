"""Reading and merging compose files."""

from __future__ import annotations

from pathlib import Path

import pytest

from test_framework.errors import SettingsError
from test_framework.stack.compose_file import Located, load_compose

BASE = """
x-common: &common
  init: true
services:
  one:
    <<: *common
    command: ["a", "b"]
    environment: {A: "1", B: "${B:-two}"}
    ports: ["127.0.0.1:1:1"]
    cap_drop: [ALL]
"""


def load(directory: Path, override: str = "", base: str = BASE) -> Located:
    (directory / "base.yml").write_text(base)
    (directory / "over.yml").write_text(override)
    files = [directory / "base.yml", directory / "over.yml"]
    return load_compose(files if override else files[:1], {"SET": "set"})


def one(directory: Path, override: str) -> dict[str, object]:
    return load(directory, override)["services"]["one"]


def test_merge_keys_and_defaults_are_resolved(tmp_path: Path) -> None:
    service = load(tmp_path)["services"]["one"]
    assert service["init"] is True
    assert service["environment"] == {"A": "1", "B": "two"}


def test_environment_list_merges_into_environment_map(tmp_path: Path) -> None:
    service = one(tmp_path, "services: {one: {environment: ['A=9', 'C=${SET}']}}")
    assert service["environment"] == {"A": "9", "B": "two", "C": "set"}


def test_lists_are_appended_without_repeating(tmp_path: Path) -> None:
    service = one(tmp_path, "services: {one: {ports: ['127.0.0.1:2:1'], cap_drop: [ALL, NET_RAW]}}")
    assert service["ports"] == ["127.0.0.1:1:1", "127.0.0.1:2:1"]
    assert service["cap_drop"] == ["ALL", "NET_RAW"]


def test_override_tag_replaces_a_list(tmp_path: Path) -> None:
    assert one(tmp_path, "services: {one: {ports: !override ['127.0.0.1:2:1']}}")["ports"] == ["127.0.0.1:2:1"]


def test_reset_tag_removes_a_key(tmp_path: Path) -> None:
    assert "ports" not in one(tmp_path, "services: {one: {ports: !reset []}}")


def test_command_is_replaced(tmp_path: Path) -> None:
    assert one(tmp_path, "services: {one: {command: ['c']}}")["command"] == ["c"]
    assert one(tmp_path, "services: {one: {command: c d}}")["command"] == "c d"


def test_every_key_knows_its_file_and_line(tmp_path: Path) -> None:
    merged = load(tmp_path, "services:\n  one:\n    environment:\n      A: 2\n")
    assert merged["services"]["one"]["environment"].place("A") == f"{tmp_path / 'over.yml'}:4"
    assert merged["services"]["one"].place("ports") == f"{tmp_path / 'base.yml'}:9"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("services: [", "not valid YAML"),
        ("services:\n  one: {ports: {a: 1}}", "'ports' has the wrong type"),
        ("services:\n  one: [1]", "'one' has the wrong type"),
        ("- a\n- b", "must hold a mapping"),
        ("services: {one: {command: '${NOPE:?set it}'}}", "required variable NOPE is not set: set it"),
    ],
)
def test_impossible_file_is_refused_with_its_place(tmp_path: Path, override: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message) as caught:
        load(tmp_path, override)
    assert str(tmp_path / "over.yml") + ":" in str(caught.value)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"does not exist\n  where: .*nothing\.yml"):
        load_compose([tmp_path / "nothing.yml"], {})


def test_empty_override_changes_nothing(tmp_path: Path) -> None:
    assert load(tmp_path, "# only a comment\n") == load(tmp_path)
