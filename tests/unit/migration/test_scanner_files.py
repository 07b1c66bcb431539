"""Files and folders of every condition: what is read, what is reported, what is left out."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from test_framework.errors import SettingsError
from test_framework.migration.analysis import LARGEST
from test_framework.migration.scanner import scan, scan_source

MOCKED = "from unittest.mock import Mock\n\n\ndef test_one():\n    assert Mock()\n"


def write(root: Path, **files: str | bytes) -> None:
    for name, content in files.items():
        path = root / (name.replace("__", "/") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


def paths(root: Path, **options: object) -> list[str]:
    return [file.path for file in scan([root], jobs=1, **options).files]  # type: ignore[arg-type]  # options of scan


@pytest.mark.parametrize(
    "source",
    [
        b"\xef\xbb\xbf" + MOCKED.encode(),
        MOCKED.replace("\n", "\r\n").encode(),
        MOCKED.replace("\n", "\r").encode(),
        MOCKED.replace("def test_one", "\x0cdef test_one").encode(),
        b"# -*- coding: latin-1 -*-\n# caf\xe9\n" + MOCKED.encode(),
        (MOCKED + "# no end of line").encode(),
    ],
    ids=["bom", "crlf", "cr", "form feed", "latin-1", "no newline at the end"],
)
def test_an_unusual_but_valid_encoding_or_line_end_is_read(source: bytes) -> None:
    report = scan_source(source)
    assert report.error is None
    assert [use.kind for use in report.uses] == ["Mock"]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (b"def broken(:\n", "line 1"),
        (b"print 'old'\n", "line 1"),
        (b"x = 1\0\n", "null bytes"),
        (b"# caf\xe9\nx = '\xe9'\n", "codec"),
        (b"# -*- coding: klingon -*-\nx = 1\n", "klingon"),
        (b"x = " + b"(" * 5000 + b")" * 5000, ""),
        (b"#" * (LARGEST + 1), "larger than"),
    ],
    ids=["syntax", "python 2", "null bytes", "wrong encoding", "unknown encoding", "too deep", "too large"],
)
def test_a_file_that_cannot_be_parsed_is_an_error_of_its_report(source: bytes, said: str) -> None:
    report = scan_source(source)
    assert report.error is not None
    assert said in report.error
    assert report.uses == ()


def test_long_chains_of_operators_and_methods_are_read() -> None:
    source = MOCKED + "x = " + " + ".join(["1"] * 900) + "\ny = a" + ".b()" * 500 + "\n"
    assert [use.kind for use in scan_source(source).uses] == ["Mock"]


def test_invalid_escapes_in_a_file_raise_no_warning_here() -> None:
    assert scan_source(MOCKED + "x = '\\d'\n").error is None


def test_columns_count_characters() -> None:
    (use,) = scan_source('from unittest.mock import Mock\nx = ["é", Mock()]\n').uses
    assert (use.line, use.column) == (2, 10)


def test_environments_hidden_folders_and_caches_are_left_out(tmp_path: Path) -> None:
    write(tmp_path, test_a=MOCKED, venv__lib__test_b=MOCKED, node_modules__test_c=MOCKED)
    write(tmp_path, **{".hidden__test_d": MOCKED, "__pycache__/test_e": MOCKED, "lib__site-packages__test_f": MOCKED})
    (tmp_path / "venv" / "pyvenv.cfg").write_text("home = /usr\n")
    assert paths(tmp_path) == ["test_a.py"]


def test_gitignore_is_respected_at_every_level(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    write(tmp_path, test_a=MOCKED, build__test_b=MOCKED, inner__test_c=MOCKED, inner__test_d=MOCKED, inner__keep=MOCKED)
    (tmp_path / ".gitignore").write_text("/build/\ntest_d.py\nkeep.py\n")
    (tmp_path / "inner" / ".gitignore").write_text("test_c.py\n!keep.py\n")
    assert paths(tmp_path) == ["inner/keep.py", "test_a.py"]
    assert paths(tmp_path / "inner") == ["keep.py"]


def test_a_named_file_is_read_even_when_git_ignores_it(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    write(tmp_path, test_a=MOCKED)
    (tmp_path / ".gitignore").write_text("*.py\n")
    assert paths(tmp_path) == []
    assert [file.path for file in scan([tmp_path / "test_a.py"]).files] == ["test_a.py"]


def test_excluded_patterns_are_left_out(tmp_path: Path) -> None:
    write(tmp_path, test_a=MOCKED, old__test_b=MOCKED)
    assert paths(tmp_path, exclude=["old/"]) == ["test_a.py"]


def test_circles_of_links_end_and_no_file_is_read_twice(tmp_path: Path) -> None:
    write(tmp_path, inner__test_a=MOCKED)
    (tmp_path / "inner" / "again").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "test_link.py").symlink_to(tmp_path / "inner" / "test_a.py")
    (tmp_path / "test_nowhere.py").symlink_to(tmp_path / "gone.py")
    assert paths(tmp_path) == ["inner/test_a.py"]


def test_the_same_file_given_twice_is_read_once(tmp_path: Path) -> None:
    write(tmp_path, test_a=MOCKED)
    report = scan([tmp_path, tmp_path / "test_a.py", tmp_path])
    assert [file.path for file in report.files] == ["test_a.py"]


def test_a_file_that_cannot_be_opened_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, test_a=MOCKED, test_b=MOCKED)
    honest = Path.read_bytes

    def refuse(path: Path) -> bytes:  # tests run as root too, whom no mode keeps out
        if path.name == "test_a.py":
            raise PermissionError(13, "Permission denied")
        return honest(path)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    first, second = scan([tmp_path], jobs=1).files
    assert first.error == "cannot be read: Permission denied"
    assert second.error is None


def test_a_folder_that_cannot_be_listed_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, test_a=MOCKED, shut__test_b=MOCKED)
    honest = os.scandir

    def refuse(name: str) -> object:
        if str(name).endswith("shut"):
            raise PermissionError(13, "Permission denied")
        return honest(name)

    monkeypatch.setattr(os, "scandir", refuse)
    found = {file.path: file.error for file in scan([tmp_path], jobs=1).files}
    assert found == {"shut": "cannot be listed: Permission denied", "test_a.py": None}


def test_an_empty_folder_is_an_empty_report(tmp_path: Path) -> None:
    report = scan([tmp_path])
    assert (report.files, report.tests, report.lines) == ((), 0, 0)


def test_a_path_that_does_not_exist_is_a_settings_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="there is no"):
        scan([tmp_path / "nowhere"])
    with pytest.raises(SettingsError, match="nothing to scan"):
        scan([])


def test_fixtures_of_a_conftest_above_the_scanned_folder_count(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    fixture = "import pytest\nfrom unittest.mock import Mock\n\n\n@pytest.fixture\ndef db():\n    return Mock()\n"
    write(tmp_path, tests__conftest=fixture, tests__unit__test_a="def test_a(db):\n    assert db\n")
    report = scan([tmp_path / "tests" / "unit"])
    assert [(use.kind, use.target, use.category.value) for use in report.uses] == [("fixture", "db", "database")]
    assert [file.path for file in report.files] == ["test_a.py"]


def test_paths_are_relative_to_the_asked_root(tmp_path: Path) -> None:
    write(tmp_path, a__test_a=MOCKED, b__test_b=MOCKED)
    assert [file.path for file in scan([tmp_path / "a", tmp_path / "b"]).files] == ["a/test_a.py", "b/test_b.py"]
    assert [file.path for file in scan([tmp_path / "a"], root=tmp_path).files] == ["a/test_a.py"]
