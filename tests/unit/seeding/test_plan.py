"""Which files a plan holds, in which order, under which checksum, and what it refuses."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from test_framework.errors import SeedError
from test_framework.seeding import Plan, build_plan
from test_framework.seeding.reading import MAX_BYTES
from tests.seeds import Seeds, plan_of, write_files


def names(plan: Plan, service: str = "postgres") -> list[str]:
    return [step.name for step in plan.steps[service]]


def test_without_folders_of_ones_own_the_shipped_files_are_the_plan(tmp_path: Path) -> None:
    plan = build_plan(Seeds(project_dir=tmp_path))
    assert {service: len(steps) > 0 for service, steps in plan.steps.items()} == {
        "postgres": True,
        "redis": True,
        "clickhouse": True,
    }
    plan.check()


def test_files_load_in_the_order_of_their_names(tmp_path: Path) -> None:
    files = {f"postgres/{name}": "SELECT 1" for name in ("10_b.sql", "02_z.sql", "02_a.sql")}
    assert names(plan_of(tmp_path / "f", files)) == [
        f"f/postgres/{name}" for name in ("02_a.sql", "02_z.sql", "10_b.sql")
    ]


def test_explanations_and_hidden_files_are_no_fixtures(tmp_path: Path) -> None:
    plan = plan_of(tmp_path / "f", {"redis/README.md": "", "redis/.gitkeep": "", "redis/__pycache__/x.pyc": ""})
    assert names(plan, "redis") == []


def test_replace_takes_the_place_of_what_is_shipped_for_the_services_a_folder_speaks_of(tmp_path: Path) -> None:
    folder = write_files(tmp_path / "mine", {"postgres/01_x.sql": "SELECT 1", "redis/": ""})
    plan = build_plan(Seeds(project_dir=tmp_path, fixtures_dirs=(folder,)))
    assert (names(plan), names(plan, "redis")) == (["mine/postgres/01_x.sql"], [])
    assert all(name.startswith("shipped/") for name in names(plan, "clickhouse"))


def test_extend_loads_the_users_files_after_the_shipped_ones_and_the_migration_in_between(tmp_path: Path) -> None:
    folder = write_files(tmp_path / "mine", {"postgres/00_x.sql": "SELECT 1"})
    write_files(tmp_path, {"seeds.py": "def load(dsn): ..."})
    plan = build_plan(
        Seeds(
            project_dir=tmp_path,
            fixtures_dirs=(folder,),
            fixtures_mode="extend",
            migrate_command="true",
            seed_callable="seeds:load",
        )
    )
    kinds = [name.split("/")[0].split(":")[0] for name in names(plan)]
    assert kinds == ["shipped", "shipped", "shipped", "command", "mine", "function"]


@pytest.mark.parametrize("setting", [{"migrate_command": "true"}, {"seed_callable": "seeds:load"}])
def test_who_brings_a_schema_of_their_own_does_not_get_the_shipped_one(tmp_path: Path, setting: dict[str, str]) -> None:
    write_files(tmp_path, {"seeds.py": "def load(dsn): ..."})
    plan = build_plan(Seeds(project_dir=tmp_path, **setting))  # type: ignore[arg-type]  # one of two optional texts
    assert not [name for name in names(plan) if name.startswith("shipped/")]


def test_a_checksum_changes_with_content_name_and_order_and_with_nothing_else(tmp_path: Path) -> None:
    def checksum(folder: str, files: dict[str, str]) -> str:
        return plan_of(tmp_path / folder, {f"postgres/{name}": text for name, text in files.items()}).checksum

    base = checksum("a", {"01_x.sql": "SELECT 1", "02_y.sql": "SELECT 2"})
    assert checksum("elsewhere/a", {"01_x.sql": "SELECT 1", "02_y.sql": "SELECT 2"}) == base
    others = [
        checksum("b", {"01_x.sql": "SELECT 1", "02_y.sql": "SELECT 3"}),
        checksum("c", {"01_x.sql": "SELECT 1", "02_z.sql": "SELECT 2"}),
        checksum("d", {"02_x.sql": "SELECT 1", "01_y.sql": "SELECT 2"}),
        checksum("e", {"01_x.sql": "SELECT 1"}),
    ]
    assert len({base, *others}) == 5


def test_a_change_for_one_service_leaves_the_checksums_of_the_others(tmp_path: Path) -> None:
    one = plan_of(tmp_path / "one", {"redis/a.yaml": "a: {type: string, value: 1}"})
    two = plan_of(tmp_path / "two", {"redis/a.yaml": "a: {type: string, value: 2}"})
    changed = {name for name in one.checksums if one.checksums[name] != two.checksums[name]}
    assert changed == {"redis"}


def test_what_shapes_a_migration_shapes_its_checksum(tmp_path: Path) -> None:
    def checksum() -> str:
        return build_plan(Seeds(project_dir=tmp_path, migrate_command="alembic upgrade head")).checksum

    seen = [checksum()]
    for name, content in [
        ("alembic.ini", "a"),
        ("alembic.ini", "b"),
        ("alembic/versions/1.py", ""),
        ("migrations/x", ""),
    ]:
        write_files(tmp_path, {name: content})
        seen.append(checksum())
    write_files(tmp_path, {"alembic/__pycache__/env.pyc": "1", "unrelated.py": "1"})
    assert (len(set(seen)), checksum()) == (5, seen[-1])


def test_a_functions_source_is_in_the_checksum_and_its_module_is_not_imported(tmp_path: Path) -> None:
    def checksum(source: str) -> str:
        write_files(tmp_path, {"pack/__init__.py": "raise SystemExit", "pack/seeds.py": source})
        return build_plan(Seeds(project_dir=tmp_path, seed_callable="pack.seeds:load")).checksum

    assert checksum("def load(dsn): ...") != checksum("def load(dsn): 1")
    assert "pack" not in sys.modules


def test_a_plan_knows_whether_it_needs_the_project(tmp_path: Path) -> None:
    assert not plan_of(tmp_path, {}).needs_project
    assert build_plan(Seeds(project_dir=tmp_path, migrate_command="true")).needs_project


def _dangling(folder: Path) -> None:
    (folder / "postgres/01_x.sql").symlink_to(folder / "nowhere.sql")


def _loop(folder: Path) -> None:
    (folder / "postgres/01_x.sql").symlink_to(folder / "postgres/02_x.sql")
    (folder / "postgres/02_x.sql").symlink_to(folder / "postgres/01_x.sql")


def _escape(folder: Path) -> None:
    (folder.parent / "secret.sql").write_text("SELECT 1")
    (folder / "postgres/01_x.sql").symlink_to("../../secret.sql")


def _escape_by_folder(folder: Path) -> None:
    (folder.parent / "outside").mkdir()
    (folder.parent / "outside/01_x.sql").write_text("SELECT 1")
    (folder / "postgres").rmdir()
    (folder / "postgres").symlink_to("../outside")


def _pipe(folder: Path) -> None:
    os.mkfifo(folder / "postgres/01_x.sql")


def _folder(folder: Path) -> None:
    (folder / "postgres/01_x.sql").mkdir()


def _suffix(folder: Path) -> None:
    (folder / "postgres/01_x.sqlite").touch()


def _huge(folder: Path) -> None:
    with (folder / "postgres/01_x.sql").open("wb") as stream:
        stream.truncate(MAX_BYTES + 1)


@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        (_dangling, "leads nowhere"),
        (_loop, "leads nowhere"),
        (_escape, "leads out of the fixtures folder"),
        (_escape_by_folder, "leads out of the fixtures folder"),
        (_pipe, "not a regular file"),
        (_folder, "folders inside are not read"),
        (_suffix, "cannot end in '.sqlite'"),
        (_huge, "larger than 256 MiB"),
    ],
)
def test_what_is_no_proper_file_is_refused_by_name(tmp_path: Path, spoil: Callable[[Path], None], what: str) -> None:
    folder = write_files(tmp_path / "f", {"postgres/": ""})
    spoil(folder)
    with pytest.raises(SeedError) as caught:
        build_plan(Seeds(project_dir=tmp_path, fixtures_dirs=(folder,)))
    text = str(caught.value)
    assert what in text and "postgres/01_x.sql" in text


@pytest.mark.parametrize(
    ("seeds", "what"),
    [
        ({"fixtures_dirs": (Path("/nowhere/at/all"),)}, "folder does not exist"),
        ({"fixtures_dirs": (Path("/"),)}, "holds nothing to load"),
        ({"migrate_command": "alembic 'upgrade"}, "cannot be understood"),
        ({"migrate_command": "  "}, "is empty"),
        ({"migrate_command": "true", "migrate_paths": (Path("/nowhere/at/all"),)}, "does not exist"),
        ({"seed_callable": "nowhere.at.all:load"}, "cannot be found"),
        ({"seed_callable": "os"}, "cannot be found"),
    ],
)
def test_a_source_that_is_missing_is_refused(tmp_path: Path, seeds: dict[str, object], what: str) -> None:
    with pytest.raises(SeedError, match=what):
        build_plan(Seeds(project_dir=tmp_path, **seeds))  # type: ignore[arg-type]  # each case fits its field


def test_all_bad_files_are_named_at_once(tmp_path: Path) -> None:
    plan = plan_of(
        tmp_path,
        {
            "postgres/01_x.sql": "SELECT 1;\nSELECT 'open",
            "postgres/02_s.t.csv": "a,b\n1\n",
            "redis/a.yaml": "k: [",
            "clickhouse/01_x.sql": b"\xff",
            "clickhouse/02_ok.sql": "SELECT 1",
        },
    )
    with pytest.raises(SeedError) as caught:
        plan.check()
    text = str(caught.value)
    assert "4 fixture files" in text and "02_ok.sql" not in text
    assert all(place in text for place in ("postgres/01_x.sql:2", "02_s.t.csv:2", "a.yaml:1", "clickhouse/01_x.sql:1"))
