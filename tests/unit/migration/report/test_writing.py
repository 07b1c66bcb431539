"""Files that are replaced: whole, with nothing changed but their text, and never over work that git does not hold."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest

from test_framework.errors import SettingsError
from test_framework.migration import versioned, writing
from test_framework.migration.versioned import uncommitted
from test_framework.migration.writing import Source, read_source, replace_all, replace_file


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("mode", [0o644, 0o755, 0o600, 0o444])
def test_a_replaced_file_keeps_its_mode(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "a.py"
    path.write_bytes(b"old")
    path.chmod(mode)
    replace_file(path, b"new")
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert left(tmp_path) == ["a.py"]


def test_a_new_file_has_the_mode_that_the_umask_leaves(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        replace_file(tmp_path / "a.json", b"{}")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.json").stat().st_mode) == 0o640


def test_a_link_keeps_pointing_at_the_file_that_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "real.py").write_bytes(b"old")
    (tmp_path / "link.py").symlink_to("real.py")
    replace_file(tmp_path / "link.py", b"new")
    assert (tmp_path / "link.py").is_symlink()
    assert (tmp_path / "real.py").read_bytes() == b"new"


def test_a_pipe_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    reading, writing_end = os.pipe()
    replace_file(Path(f"/dev/fd/{writing_end}"), b"through")
    os.close(writing_end)
    with os.fdopen(reading, "rb") as stream:
        assert stream.read() == b"through"


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.py"
    path.write_bytes(b"old")

    def full(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(SettingsError, match="No space left") as caught:
        replace_file(path, b"new")
    assert str(path) in caught.value.what
    assert path.read_bytes() == b"old"
    assert left(tmp_path) == ["a.py"]


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="No such file or directory"):
        replace_file(tmp_path / "none" / "a.json", b"{}")


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        (b"x = '\xc3\xa9'\r\n\x0cy = 1\r", "utf-8"),
        (b"\xef\xbb\xbfx = '\xc3\xa9'\n", "utf-8-sig"),
        (b"# -*- coding: latin-1 -*-\nx = '\xe9'\n", "iso-8859-1"),
        (b"#!/usr/bin/python\n# vim: set fileencoding=cp1252 :\nx = '\x80'", "cp1252"),
        (b"", "utf-8"),
    ],
)
def test_what_is_read_goes_back_byte_for_byte(tmp_path: Path, data: bytes, encoding: str) -> None:
    path = tmp_path / "a.py"
    path.write_bytes(data)
    source = read_source(path)
    assert source.encoding == encoding
    assert not source.text.startswith("\ufeff")
    assert source.encoded(source.text) == data


def sources(folder: Path, number: int) -> list[Source]:
    for place in range(number):
        (folder / f"{place}.py").write_text(f"old {place}")
    return [read_source(folder / f"{place}.py") for place in range(number)]


def texts(folder: Path) -> list[str]:
    return [(folder / name).read_text() for name in left(folder)]


def test_when_one_file_was_changed_meanwhile_none_is_written(tmp_path: Path) -> None:
    read = sources(tmp_path, 3)
    (tmp_path / "2.py").write_text("edited")
    with pytest.raises(SettingsError, match="changed meanwhile"):
        replace_all((source, "new") for source in read)
    assert texts(tmp_path) == ["old 0", "old 1", "edited"]


@pytest.mark.parametrize("trouble", [KeyboardInterrupt(), OSError(30, "Read-only file system")])
def test_when_writing_stops_half_way_the_first_files_are_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: BaseException
) -> None:
    real = writing._write_and_rename

    def fail_at_the_last(target: Path, data: bytes, before: os.stat_result | None) -> None:
        if target.name == "2.py":
            raise trouble
        real(target, data, before)

    monkeypatch.setattr(writing, "_write_and_rename", fail_at_the_last)
    with pytest.raises((KeyboardInterrupt, SettingsError)):
        replace_all((source, "new") for source in sources(tmp_path, 3))
    assert texts(tmp_path) == ["old 0", "old 1", "old 2"]


def test_a_character_that_the_encoding_lacks_stops_the_writing_of_all(tmp_path: Path) -> None:
    (tmp_path / "0.py").write_text("old")
    (tmp_path / "1.py").write_bytes(b"# coding: ascii\n")
    with pytest.raises(UnicodeEncodeError):
        replace_all((read_source(tmp_path / name), "é") for name in ("0.py", "1.py"))
    assert (tmp_path / "0.py").read_text() == "old"


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, env=environment)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Two committed files, one of them in a folder with a strange name."""
    git(tmp_path, "init", "-q")
    (tmp_path / "clean.py").touch()
    (tmp_path / "a b\né").mkdir()
    (tmp_path / "a b\né" / "test_x.py").touch()
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "all")
    return tmp_path


def test_changed_staged_and_replaced_files_are_uncommitted_and_untracked_ones_are_not(repository: Path) -> None:
    odd = repository / "a b\né" / "test_x.py"
    assert uncommitted([repository / "clean.py", odd]) == []
    odd.write_text("changed")
    (repository / "untracked.py").touch()
    (repository / "added.py").touch()
    git(repository, "add", "added.py")
    paths = [repository / name for name in ("clean.py", "untracked.py", "added.py")]
    assert uncommitted([*paths, odd]) == [repository / "added.py", odd]
    git(repository, "mv", "clean.py", "moved.py")
    assert uncommitted([repository / "moved.py"]) == [repository / "moved.py"]


def test_a_file_outside_of_a_repository_is_never_uncommitted(tmp_path: Path) -> None:
    (tmp_path / "a.py").touch()
    assert uncommitted([tmp_path / "a.py"]) == []


def test_a_link_into_a_repository_is_judged_by_the_file_behind_it(
    repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    link = tmp_path_factory.mktemp("links") / "link.py"
    link.symlink_to(repository / "clean.py")
    assert uncommitted([link]) == []
    (repository / "clean.py").write_text("changed")
    assert uncommitted([link]) == [link]


def test_a_repository_that_a_hook_names_is_not_the_one_that_is_asked(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (repository / "clean.py").write_text("changed")
    monkeypatch.setenv("GIT_DIR", "/nonexistent")
    assert uncommitted([repository / "clean.py"]) == [repository / "clean.py"]


def test_a_broken_repository_is_an_error_with_gits_own_words(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (repository / ".git" / "HEAD").write_text("nonsense")
    with pytest.raises(SettingsError) as caught:
        uncommitted([repository / "clean.py"])
    assert "not a git repository" in (caught.value.cause or "")
    assert "--force" in (caught.value.fix or "")
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(SettingsError, match="No such file or directory"):
        versioned.uncommitted([repository / "clean.py"])
