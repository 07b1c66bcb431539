"""``test-framework scan``, as a process."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import psutil
import pytest

from test_framework.migration.reporting.json_report import schema
from tests.integration.migration.projects import PROJECT, USERS, command, environment, run, write

HEAVY = ("rich", "libcst", "pathspec", "asyncpg", "redis", "aiohttp")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    write(folder, PROJECT)
    return folder


def found(ended: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The JSON that the command printed, and nothing else did."""
    assert ended.returncode == 0, ended.stderr
    document: dict[str, Any] = json.loads(ended.stdout)
    jsonschema.Draft202012Validator(schema()).validate(document)
    return document


def places(document: dict[str, Any]) -> set[tuple[str, int, str]]:
    return {(Path(file["path"]).name, use["line"], use["kind"]) for file in document["files"] for use in file["uses"]}


def test_the_table_shows_what_is_there_and_stderr_stays_empty(project: Path) -> None:
    ended = run(project, "scan", "tests")
    assert ended.returncode == 0
    assert ended.stderr == ""
    assert "5 files with 5 tests" in ended.stdout
    assert re.search(r"[│|]\s+1 [│|] tests/conftest.py\s+[│|] mechanical", ended.stdout)
    assert "1 file could not be read:\n  tests/test_broken.py: line 1: invalid syntax\n" in ended.stdout
    # A file's name can neither begin a line of its own nor give GitHub a command.
    assert not re.search(r"^\s*::", ended.stdout, re.MULTILINE)


def test_json_is_the_only_output_and_agrees_with_its_schema(project: Path) -> None:
    document = found(run(project, "scan", "--json", "tests"))
    assert ("test_users.py", 15, "MagicMock") in places(document)
    assert ("test_users.py", 9, "patch") in places(document)
    assert {use["category"] for file in document["files"] for use in file["uses"]} >= {"database", "redis"}
    assert [file["path"].rpartition("/")[2] for file in document["files"] if file["error"]] == ["test_broken.py"]


def test_every_form_can_be_written_in_one_run_with_the_table(project: Path) -> None:
    ended = run(project, "scan", "tests", "--json", "a.json", "--html", "a.html", "--sarif=a.sarif", "--top", "1")
    assert ended.returncode == 0, ended.stderr
    assert "By category" in ended.stdout
    document = json.loads((project / "a.json").read_text())
    log = json.loads((project / "a.sarif").read_text())
    assert len(log["runs"][0]["results"]) == document["summary"]["uses"] == len(places(document))
    assert "&lt;script&gt;alert(1)" in (project / "a.html").read_text()
    assert "<script>alert(1)" not in (project / "a.html").read_text()


def test_what_gitignore_or_exclude_name_is_left_out(project: Path) -> None:
    subprocess.run(["git", "init", "-q"], cwd=project, check=True)
    names = {name for name, _, _ in places(found(run(project, "scan", "--json")))}
    assert "test_users.py" in names
    assert "test_gen.py" not in names
    left = {name for name, _, _ in places(found(run(project, "scan", "--json", "--exclude", "test_us*.py")))}
    assert left == names - {"test_users.py"}


def test_the_cache_changes_no_result_even_when_it_is_corrupt(project: Path) -> None:
    cache = project.parent / "project-outside" / "cache"
    cold = run(project, "scan", "--json", "tests", "--no-cache").stdout
    assert not [path for path in cache.rglob("*") if path.is_file()]
    assert run(project, "scan", "--json", "tests").stdout == cold
    files = [path for path in cache.rglob("*") if path.is_file()]
    assert files
    assert run(project, "scan", "--json", "tests").stdout == cold
    for path in files:
        path.write_bytes(b"\x00nonsense\xff" * 40)
    again = run(project, "scan", "--json", "tests")
    assert (again.returncode, again.stdout, again.stderr.count("Traceback")) == (0, cold, 0)
    # And where the cache cannot be written at all.
    blocked = run(project, "scan", "--json", "tests", XDG_CACHE_HOME="/dev/null/none")
    assert (blocked.returncode, blocked.stdout) == (0, cold)


def test_the_number_of_processes_changes_no_result(project: Path) -> None:
    one, three = (run(project, "scan", "--json", "--no-cache", "--jobs", jobs).stdout for jobs in ("1", "3"))
    assert one == three


def test_fail_over_allows_exactly_that_many(project: Path) -> None:
    number = found(run(project, "scan", "--json", "tests"))["summary"]["uses"]
    assert run(project, "scan", "tests", "--fail-over", str(number)).returncode == 0
    ended = run(project, "scan", "tests", "--fail-over", str(number - 1))
    assert ended.returncode == 1
    assert ended.stderr == f"error: {number} mocks; --fail-over allows {number - 1}\n"


def test_the_ratchet_turns_one_way(project: Path) -> None:
    file = project / "mocks.json"
    users = project / "tests" / "test_users.py"
    check, update = ("scan", "tests", "--baseline", "mocks.json"), ("--update-baseline",)

    ended = run(project, *check)
    assert (ended.returncode, "--update-baseline" in ended.stderr) == (2, True)
    assert run(project, *check, *update).returncode == 0
    first = file.read_bytes()
    users.write_text("# a comment shifts every line\n\n" + USERS)
    assert run(project, *check).returncode == 0

    users.write_text(USERS.replace("second = MagicMock()", "second = MagicMock()\n    third = MagicMock()"))
    ended = run(project, *check)
    assert ended.returncode == 1
    assert ended.stderr == "error: 1 new mock not in mocks.json\n"
    assert re.search(r"^  new  .*test_users\.py:17: MagicMock of third in test_both", ended.stdout, re.MULTILINE)
    assert run(project, *check, *update).returncode == 1
    assert file.read_bytes() == first
    assert run(project, *check, *update, "--accept-new").returncode == 0
    assert run(project, *check).returncode == 0

    users.write_text(USERS)
    ended = run(project, *check)
    assert (ended.returncode, "1 recorded mock gone" in ended.stderr) == (0, True)
    assert run(project, *check, *update).returncode == 0
    assert file.read_bytes() == first


def test_only_and_without_choose_what_is_counted_and_what_the_ratchet_holds(project: Path) -> None:
    everything = found(run(project, "scan", "--json", "tests"))["summary"]["by_category"]
    redis = found(run(project, "scan", "--json", "tests", "--only", "redis"))["summary"]
    rest = found(run(project, "scan", "--json", "tests", "--without", "redis"))["summary"]
    assert redis["by_category"] == {"redis": everything["redis"]}
    assert rest["by_category"] == {name: share for name, share in everything.items() if name != "redis"}
    assert run(project, "scan", "tests", "--only", "redis", "--fail-over", str(redis["uses"])).returncode == 0

    check = ("scan", "tests", "--baseline", "mocks.json")
    assert run(project, *check, "--update-baseline", "--only", "redis").returncode == 0
    held = run(project, *check, "--only", "redis", "--update-baseline")
    assert (held.returncode, held.stderr) == (0, "mocks.json is up to date\n")
    assert run(project, *check).returncode == 1  # what was left out is not recorded


def test_a_baseline_serves_a_scan_of_a_part_from_another_folder(project: Path) -> None:
    assert run(project, "scan", "--baseline", "mocks.json", "--update-baseline").returncode == 0
    ended = run(project / "tests", "scan", "test_users.py", "--baseline", "../mocks.json")
    assert (ended.returncode, ended.stderr) == (0, ""), ended.stdout
    assert "baseline: unchanged" in ended.stdout


def test_annotations_name_files_from_the_root_of_the_checkout(project: Path) -> None:
    subprocess.run(["git", "init", "-q"], cwd=project, check=True)
    ended = run(project / "tests", "scan", ".", "--github", "--top", "0")
    lines = [line for line in ended.stdout.splitlines() if line.startswith("::")]
    assert len(lines) == found(run(project, "scan", "--json", "tests"))["summary"]["uses"]
    assert any(line.startswith("::warning file=tests/test_users.py,line=15,") for line in lines)
    assert all(line.startswith("::warning file=tests/") for line in lines)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], "Path 'nowhere' does not exist"),
        (["--update-baseline"], "--update-baseline needs --baseline"),
        (["--accept-new"], "--accept-new needs --update-baseline"),
        (["--json", "-", "--html", "-"], "only one of"),
        (["--json", "--github"], "only one of"),
        (["--jobs", "0"], "--jobs"),
        (["--only", "redis,cash"], "'cash' is none of database, redis,"),
        (["--only", "redis", "--without", "http"], "--only and --without exclude each other"),
        (["tests", "--html", "none/a.html"], "cannot write none/a.html"),
        (["tests", "--baseline", "conflict.json"], "the baseline cannot be read"),
        (["tests", "--baseline", "tests"], "is a directory"),
    ],
)
def test_nonsense_ends_with_status_2_and_says_what_is_wrong(project: Path, arguments: list[str], words: str) -> None:
    (project / "conflict.json").write_text("<<<<<<< HEAD\n{}\n")
    ended = run(project, "scan", *arguments)
    assert ended.returncode == 2
    assert words in ended.stderr
    assert "Traceback" not in ended.stderr


def test_no_files_and_no_mocks_are_no_errors(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    ended = run(tmp_path, "scan", "empty", "--fail-over", "0")
    assert (ended.returncode, ended.stdout[:21]) == (0, "no Python files found")


def test_a_reader_that_leaves_early_changes_nothing_about_the_verdict(project: Path) -> None:
    many = "from unittest.mock import Mock\n" + "\n".join(f"a{n} = Mock()" for n in range(3000))
    write(project, {"tests/test_many.py": many})
    for form, status in ((["--json"], 0), (["--top", "1000", "--github", "--fail-over", "5"], 1)):
        process = subprocess.Popen(
            command("scan", "tests", *form),
            cwd=project,
            env=environment(project.parent),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(1)
        process.stdout.close()
        assert process.stderr.read() == (b"error: 3,007 mocks; --fail-over allows 5\n" if status else b"")
        process.stderr.close()
        assert process.wait(timeout=60) == status


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A tree that takes a while: nothing in it can be answered without reading it whole."""
    folder = tmp_path / "large"
    body = "".join(f"\n\ndef test_{n}(a, b):\n    with patch('app.db{n}') as db:\n        db.x()\n" for n in range(150))
    write(folder, {f"test_{n}.py": f"# {n}\nfrom unittest.mock import patch\n{body}" for n in range(1200)})
    return folder


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_scan_says_so_and_leaves_no_process_behind(large: Path, number: signal.Signals) -> None:
    process = subprocess.Popen(
        command("scan", ".", "--jobs", "2", "--no-cache"),
        cwd=large,
        env=environment(large.parent),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    children: list[psutil.Process] = []
    watched = psutil.Process(process.pid)
    while len(children) < 2 and process.poll() is None:
        children = watched.children(recursive=True)
    os.killpg(process.pid, number)  # as a terminal does: to every process of the command
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert output == ""
    assert errors.lstrip() == "interrupted; what was begun has been undone\n"
    assert psutil.wait_procs(children, timeout=30)[1] == []


def on_a_terminal(cwd: Path, *arguments: str) -> Iterator[str]:
    """The command's standard output, then what came to the terminal that its standard error is."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        command(*arguments), cwd=cwd, env=environment(cwd.parent), stdout=subprocess.PIPE, stderr=theirs, text=True
    ) as process:
        os.close(theirs)
        seen = b""
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:  # Linux says so when the last writer is gone
                break
            if not part:
                break
            seen += part
        assert process.stdout is not None
        yield process.stdout.read()
    os.close(ours)
    yield seen.decode()


def test_progress_is_shown_on_the_terminal_of_stderr_and_nowhere_else(project: Path) -> None:
    output, terminal = on_a_terminal(project, "scan", "tests", "--json", "--no-cache")
    assert json.loads(output)["summary"]["files"] == 5
    assert "scanning" in terminal
    assert "5/5" in terminal


def test_help_loads_nothing_heavy() -> None:
    program = (
        f"import sys; sys.argv = ['x', 'scan', '--help']\nfrom test_framework.cli import main\n"
        f"try:\n    main(['scan', '--help'])\nfinally:\n"
        f"    print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stderr.strip() == "[]"
