"""``test-framework template``, as a process. What a template holds is held by the tests of the rewriter."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.integration.migration.projects import CONFTEST, USERS, run, write


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    files = {"tests/conftest.py": CONFTEST, "tests/test_users.py": USERS, "tests/test_broken.py": "def test_it(:\n"}
    write(folder, {"pyproject.toml": "", **files})
    return folder


def test_a_template_is_printed_or_written_and_parses(project: Path) -> None:
    printed = run(project, "template", "tests/test_users.py")
    assert printed.returncode == 0, printed.stderr
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    names = {node.name for node in ast.walk(ast.parse(printed.stdout)) if isinstance(node, functions)}
    assert {"test_user", "test_cache"} <= names
    written = run(project, "template", "tests/test_users.py", "--output", "tests/test_new.py")
    assert (written.returncode, written.stdout) == (0, "")
    assert (project / "tests" / "test_new.py").read_text() == printed.stdout
    assert run(project, "template", "tests/test_users.py", "--output", "tests/test_new.py").returncode == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere.py"], "File 'nowhere.py' does not exist"),
        (["tests"], "File 'tests' is a directory"),
        (["tests/test_broken.py"], "tests/test_broken.py cannot be parsed"),
        (["tests/test_users.py", "--output", "pyproject.toml"], "pyproject.toml exists"),
        (["tests/test_users.py", "--output", "none/test_new.py"], "cannot write none/test_new.py"),
    ],
)
def test_nonsense_ends_with_status_2_and_says_what_is_wrong(project: Path, arguments: list[str], words: str) -> None:
    ended = run(project, "template", *arguments)
    assert ended.returncode == 2
    assert words in ended.stderr
    assert "Traceback" not in ended.stderr
    assert (project / "pyproject.toml").read_bytes() == b""
