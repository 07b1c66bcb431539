"""Programs are found where they usually are, asked for their version, and refused when it is the wrong one."""

from __future__ import annotations

from pathlib import Path

import pytest

from test_framework.errors import SettingsError
from test_framework.stack import binaries
from test_framework.stack.binaries import find_binaries

ANSWERS = {
    "postgres": "postgres (PostgreSQL) {}",
    "redis-server": "Redis server v={} sha=00000000:0 malloc=jemalloc-5.3.0 bits=64",
    "clickhouse": "ClickHouse client version {} (official build).",
}


def install(directory: Path, name: str, version: str) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    for each, text in ((name, f"echo '{ANSWERS[name].format(version)}'"), ("initdb", "true")):
        (directory / each).write_text(f"#!/bin/sh\n{text}\n")
        (directory / each).chmod(0o755)
    return directory


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine on which nothing is installed."""
    (tmp_path / "path").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    for name in ("POSTGRES", "REDIS", "CLICKHOUSE"):
        monkeypatch.setattr(binaries, f"_{name}_DIRECTORIES", (str(tmp_path / "usual"),))
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    return tmp_path


def test_nothing_installed_is_all_missing(bare: Path) -> None:
    assert find_binaries({}).missing == ("postgres", "redis", "clickhouse")


def test_the_embedded_engine_serves_for_a_missing_clickhouse(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object() if name == "chdb" else None)
    assert find_binaries({}).missing == ("postgres", "redis")


@pytest.mark.parametrize("place", ["path", "usual"])
def test_programs_are_found_on_the_path_and_in_the_usual_places(bare: Path, place: str) -> None:
    for name, version in (("postgres", "15.8"), ("redis-server", "7.2.5"), ("clickhouse", "24.8.4.13")):
        install(bare / place, name, version)
    found = find_binaries({})
    assert found.missing == ()
    assert (found.postgres and found.postgres.version) == "15.8"
    assert found.initdb == bare / place / "initdb"
    assert (found.redis and found.redis.path) == bare / place / "redis-server"
    assert (found.clickhouse and found.clickhouse.version) == "24.8.4.13"


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("postgres", "14.9"),
        ("postgres", "16.2"),
        ("redis-server", "6.2.14"),
        ("clickhouse", "18.16.1"),
        ("clickhouse", "23.3.1.1"),
    ],
)
def test_the_wrong_version_is_rejected_and_told(bare: Path, name: str, version: str) -> None:
    install(bare / "path", name, version)
    found = find_binaries({})
    assert found.missing == ("postgres", "redis", "clickhouse")
    assert found.rejected == (f"{bare / 'path' / name} is version {version}",)


def test_a_fitting_one_in_the_usual_place_is_preferred_to_a_wrong_one_on_the_path(bare: Path) -> None:
    install(bare / "path", "postgres", "16.2")
    install(bare / "usual", "postgres", "15.1")
    found = find_binaries({})
    assert (found.postgres and found.postgres.path) == bare / "usual" / "postgres"


def test_a_named_directory_is_the_only_one_looked_in(bare: Path) -> None:
    install(bare / "path", "postgres", "15.1")
    install(bare / "own", "postgres", "15.2")
    found = find_binaries({"TEST_POSTGRES_BIN": str(bare / "own")})
    assert (found.postgres and found.postgres.version) == "15.2"
    with pytest.raises(SettingsError, match="TEST_POSTGRES_BIN has no program postgres"):
        find_binaries({"TEST_POSTGRES_BIN": str(bare)})


def test_a_program_without_initdb_beside_it_is_not_enough(bare: Path) -> None:
    install(bare / "path", "postgres", "15.1")
    (bare / "path" / "initdb").unlink()
    assert "postgres" in find_binaries({}).missing


@pytest.mark.parametrize("script", ["exit 1", "echo nothing to see", "kill -9 $$"])
def test_a_program_that_does_not_tell_its_version_is_rejected(bare: Path, script: str) -> None:
    install(bare / "path", "redis-server", "7")
    (bare / "path" / "redis-server").write_text(f"#!/bin/sh\n{script}\n")
    assert "redis" in find_binaries({}).missing
    assert "unknown" in find_binaries({}).rejected[0]


def test_this_machine_has_what_the_tests_need() -> None:
    assert find_binaries({}).missing == ()
