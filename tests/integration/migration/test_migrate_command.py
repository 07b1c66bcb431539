"""``test-framework migrate``, as a process. What becomes of a test is held by the tests of the rewriter."""

from __future__ import annotations

import ast
import json
import os
import pty
import re
import subprocess
from pathlib import Path

import jsonschema
import pytest

from test_framework.migration.reporting.json_report import schema
from tests.integration.migration.projects import CONFTEST, USERS, command, environment, run, write

OTHER = '''"""Accented é: the encoding matters."""
from unittest.mock import AsyncMock


async def test_other():
    db = AsyncMock()
    db.fetchrow.return_value = {"id": 2}
    assert (await db.fetchrow("SELECT id FROM users"))["id"] == 2
'''
PROJECT = {
    "pyproject.toml": "",
    "tests/conftest.py": CONFTEST,
    "tests/test_users.py": USERS,
    "tests/test_other.py": OTHER,
    "tests/test_time.py": "from unittest.mock import patch\n\n\n@patch('time.time')\ndef test_it(now):\n    now()\n",
    "tests/test_broken.py": "def test_it(:\n",
}


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, env=environment)


def commit(folder: Path) -> None:
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "all")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / "tests").iterdir())}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    write(folder, PROJECT)
    return folder


def test_the_diff_changes_no_file_and_applied_gives_what_write_gives(project: Path) -> None:
    before = contents(project)
    commit(project)
    shown = run(project, "migrate", "tests")
    assert shown.returncode == 0, shown.stderr
    assert contents(project) == before
    assert "nothing was written; --write does it" in shown.stderr
    assert "tests/test_broken.py: line 1: invalid syntax" in shown.stderr

    written = run(project, "migrate", "tests", "--write")
    assert written.returncode == 0, written.stderr
    after = contents(project)
    changed = {name for name in after if after[name] != before[name]}
    assert {"test_users.py", "test_other.py"} <= changed
    assert not changed & {"test_time.py", "test_broken.py"}

    git(project, "checkout", "-q", ".")
    subprocess.run(["git", "apply", "-"], input=shown.stdout, text=True, cwd=project, check=True)
    assert contents(project) == after


def test_a_second_run_finds_nothing_to_write(project: Path) -> None:
    first = run(project, "migrate", "tests", "--write")
    assert re.match(r"[23] files written of 5 read, ", first.stdout), first.stdout
    after = contents(project)
    second = run(project, "migrate", "tests", "--write")
    assert second.stdout.startswith("0 files written of 5 read, "), second.stdout
    assert contents(project) == after


def test_mode_encoding_mark_and_line_ends_stay(project: Path) -> None:
    kinds = {
        "test_latin.py": ("# coding: latin-1\n" + OTHER).encode("latin-1"),
        "test_windows.py": OTHER.replace("\n", "\r\n").encode(),
        "test_marked.py": OTHER.encode("utf-8-sig"),
    }
    for name, data in kinds.items():
        (project / "tests" / name).write_bytes(data)
        (project / "tests" / name).chmod(0o755)
    assert run(project, "migrate", "tests", "--write").returncode == 0
    after = contents(project)
    for name, data in kinds.items():
        assert after[name] != data
        assert (project / "tests" / name).stat().st_mode & 0o777 == 0o755
        ast.parse(after[name])
    assert after["test_latin.py"].startswith(b'# coding: latin-1\n"""Accented \xe9: ')
    assert after["test_marked.py"].startswith(b'\xef\xbb\xbf"""Accented \xc3\xa9: ')
    assert len(re.findall(rb"(?<!\r)\n", after["test_windows.py"])) == 0


def test_work_that_is_not_committed_is_not_written_over_and_nothing_else_is_written_then(project: Path) -> None:
    commit(project)
    (project / "tests" / "test_users.py").write_text(USERS + "\n# mine\n")
    before = contents(project)
    refused = run(project, "migrate", "tests", "--write")
    assert refused.returncode == 2
    assert "nothing was written: 1 file to rewrite would mix with changes of yours" in refused.stderr
    assert "where: tests/test_users.py\n" in refused.stderr
    assert "--force" in refused.stderr
    assert contents(project) == before
    assert run(project, "migrate", "tests", "--write", "--force").returncode == 0
    assert contents(project)["test_users.py"] != before["test_users.py"]
    assert contents(project)["test_users.py"].endswith(b"# mine\n")


def test_the_json_says_what_the_summary_says_and_holds_the_diff(project: Path) -> None:
    printed = run(project, "migrate", "tests", "--json")
    document = json.loads(printed.stdout)
    jsonschema.Draft202012Validator(schema("migrate")).validate(document)
    assert printed.stderr == ""
    assert document["written"] is False
    plain = run(project, "migrate", "tests")
    assert "".join(file["diff"] for file in document["files"]) == plain.stdout
    total = document["summary"]
    for name in ("rewritten", "marked", "untouched"):
        assert total[name] == sum(file[name] for file in document["files"])
    assert f"{total['changed']} files to write of {total['files']} read" in plain.stderr
    assert f"{total['rewritten']} tests rewritten, {total['marked']} marked" in plain.stderr
    assert [file["path"] for file in document["unreadable"]] == ["tests/test_broken.py"]
    assert next(file for file in document["files"] if file["path"] == "tests/test_time.py")["changed"] is False


def test_a_terminal_sees_colours_and_no_control_characters_of_the_file(project: Path) -> None:
    (project / "tests" / "test_other.py").write_text(OTHER.replace("\n\n\n", "\n\n\n# \x1b]0;title\x07\n"))
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        command("migrate", "tests/test_other.py"),
        cwd=project,
        env=environment(project.parent),
        stdout=theirs,
        stderr=subprocess.DEVNULL,
    ) as process:
        os.close(theirs)
        seen = b""
        while True:
            try:
                seen += (part := os.read(ours, 65536))
            except OSError:  # Linux says so when the last writer is gone
                break
            if not part:
                break
        os.close(ours)
    assert process.returncode == 0
    assert b"\x1b[32m+" in seen
    assert b"\x1b[31m-" in seen
    assert b"\x1b]0;" not in seen
    assert b"# \\x1b]0;title\\x07" in seen


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["migrate", "nowhere"], "Path 'nowhere' does not exist"),
        (["migrate", "--force"], "--force needs --write"),
        (["migrate", "--jobs", "none"], "'none' is not a valid integer"),
    ],
)
def test_nonsense_ends_with_status_2_and_says_what_is_wrong(project: Path, arguments: list[str], words: str) -> None:
    ended = run(project, *arguments)
    assert ended.returncode == 2
    assert words in ended.stderr
    assert "Traceback" not in ended.stderr
    assert (project / "pyproject.toml").read_bytes() == b""
