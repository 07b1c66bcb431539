"""The run directory: where, with how much room, and whose."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from test_framework.errors import ResourceUnavailable
from test_framework.stack.run_directory import (
    MARKER,
    base_directories,
    check_space,
    create_run_directory,
    find_run_directories,
    is_run_directory,
    is_running,
    is_tmpfs,
    processes_of,
    remove_run_directory,
)

OWNER = Path("/owner")


@pytest.fixture
def variables(tmp_path: Path) -> dict[str, str]:
    return {"TEST_RUN_DIR": str(tmp_path)}


def test_memory_comes_before_the_temporary_directory_and_a_named_one_before_all(tmp_path: Path) -> None:
    assert base_directories({}) == [Path("/dev/shm"), Path(tempfile.gettempdir())]
    assert base_directories({"TEST_RUN_DIR": str(tmp_path)}) == [tmp_path]
    assert base_directories({"TEST_RUN_DIR": "here"}) == [Path.cwd() / "here"]


def test_it_is_found_by_its_stack_and_owner_and_by_nobody_else(variables: dict[str, str]) -> None:
    made = create_run_directory("a", OWNER, 1, variables)
    assert find_run_directories("a", OWNER, variables) == [made]
    assert find_run_directories("a-b", OWNER, variables) == []
    assert find_run_directories("a", Path("/other"), variables) == []
    longer = create_run_directory("a-b", OWNER, 1, variables)
    assert find_run_directories("a", OWNER, variables) == [made]
    assert find_run_directories("a-b", OWNER, variables) == [longer]


def test_others_can_pass_through_it_and_not_look_into_it(variables: dict[str, str]) -> None:
    assert create_run_directory("a", OWNER, 1, variables).stat().st_mode & 0o777 == 0o711


def test_only_a_directory_of_ours_may_be_removed(tmp_path: Path, variables: dict[str, str]) -> None:
    made = create_run_directory("a", OWNER, 1, variables)
    assert is_run_directory(made, "a", OWNER)
    assert not is_run_directory(tmp_path, "a", OWNER)
    assert not is_run_directory(made.with_name(made.name + "x"), "a", OWNER)
    assert not is_run_directory(made, "b", OWNER)


def test_too_little_room_tells_what_each_place_has(variables: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(ResourceUnavailable, match="the native stack needs 1073741824 MiB") as caught:
        check_space(2**50, variables)
    assert f"{tmp_path} has " in (caught.value.where or "")
    assert "TEST_RUN_DIR" in (caught.value.fix or "")


def test_what_the_stack_to_be_replaced_holds_counts_as_room(
    variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    held = create_run_directory("a", OWNER, 1, variables)
    (held / "data").write_bytes(b"x" * 8 * 1024**2)
    full = os.statvfs_result((4096, 4096, 0, 0, 0, 0, 0, 0, 0, 255))
    monkeypatch.setattr(os, "statvfs", lambda _: full)
    monkeypatch.setattr("test_framework.stack.run_directory._RESERVE", 0)
    with pytest.raises(ResourceUnavailable):
        check_space(4 * 1024**2, variables)
    assert check_space(4 * 1024**2, variables, held=held) == held.parent


def marked(run_dir: Path, script: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", f"import os, signal, subprocess, sys, time\n{script}\ntime.sleep(600)"],
        env={**os.environ, MARKER: str(run_dir)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    return process


def test_removal_ends_marked_processes_that_refuse_and_their_unmarked_children(variables: dict[str, str]) -> None:
    run_dir = create_run_directory("a", OWNER, 1, variables)
    stubborn = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    spawn = "c = subprocess.Popen(['sleep', '600'], env={})\nprint(c.pid, flush=True)"
    process = subprocess.Popen(
        [sys.executable, "-c", f"import signal, subprocess, time\n{stubborn}{spawn}\ntime.sleep(600)"],
        env={**os.environ, MARKER: str(run_dir)},
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        assert [found.pid for found in processes_of(run_dir)] == [process.pid]
        remove_run_directory(run_dir)
        assert not is_running(process.pid)
        assert not is_running(child)
    assert not run_dir.exists()


def test_a_process_of_another_run_directory_is_left_alone(variables: dict[str, str]) -> None:
    mine, other = (create_run_directory(name, OWNER, 1, variables) for name in ("a", "b"))
    with marked(other, "print(flush=True)") as process:
        remove_run_directory(mine)
        assert process.poll() is None
        assert find_run_directories("b", OWNER, {}) == [other]  # its process tells, wherever it lies
        process.kill()


def test_somebody_who_looks_into_it_is_not_taken_for_a_server(variables: dict[str, str]) -> None:
    run_dir = create_run_directory("a", OWNER, 1, variables)
    with subprocess.Popen(["sleep", "600"], cwd=run_dir) as process:
        remove_run_directory(run_dir)
        assert process.poll() is None
        process.kill()


def test_removing_twice_is_harmless(variables: dict[str, str]) -> None:
    run_dir = create_run_directory("a", OWNER, 1, variables)
    remove_run_directory(run_dir)
    remove_run_directory(run_dir)


def test_an_ended_process_that_nobody_collected_does_not_run() -> None:
    with subprocess.Popen(["true"]) as process:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert not is_running(process.pid)


def test_only_a_memory_file_system_counts_as_tmpfs() -> None:
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    for _, mount, kind, *_rest in mounts:
        if kind == "tmpfs" and "\\" not in mount:
            assert is_tmpfs(Path(mount) / "anything")
    assert not is_tmpfs(Path("/proc"))
