"""The native stack works for anybody, from anywhere, and with what the machine has."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.native_stack import CHECKOUT, NativeStack, new_stack, plain_person

AWKWARD = "a project's dir; #1 (50%)"


@pytest.fixture(scope="module")
def plain(cluster_cache: Path) -> Iterator[NativeStack]:
    """A running stack of somebody without privileges, in a project whose path is hard on shells and parsers."""
    with new_stack(cluster_cache, folder=AWKWARD, person=plain_person()) as stack:
        stack.up()
        yield stack


def test_a_plain_user_brings_it_up_and_everything_runs_as_that_user(plain: NativeStack) -> None:
    assert {process.uids().effective for process in plain.processes()} == {plain.person.uid}
    assert plain.person.uid != 0
    assert plain.json("status")["status"] == "healthy"
    assert plain.ok("validate")


def test_a_plain_users_state_is_closed_to_others(plain: NativeStack) -> None:
    state = plain.state_directory / "state.json"
    assert stat.S_IMODE(state.stat().st_mode) == 0o600
    assert state.stat().st_uid == plain.person.uid
    assert plain.run_dir.stat().st_uid == plain.person.uid


def test_the_data_lie_on_tmpfs(plain: NativeStack) -> None:
    assert plain.run_dir.parent == Path("/dev/shm")


def test_a_plain_users_killed_server_comes_back_and_down_leaves_nothing(cluster_cache: Path) -> None:
    with new_stack(cluster_cache, person=plain_person()) as stack:
        stack.up()
        stack.supervisor().kill()
        stack.ok("down")
        assert stack.traces() == []


def test_a_home_that_cannot_be_written_costs_the_cache_and_nothing_else(cluster_cache: Path) -> None:
    """State goes to the temporary directory then, below a directory that only this user can enter."""
    with new_stack(cluster_cache, person=plain_person()) as stack:
        nowhere = stack.without("TEST_STATE_DIR", "XDG_CACHE_HOME").having(HOME="/proc/nowhere", TMPDIR=str(stack.base))
        done = nowhere.run("up", "--backend", "native")
        assert done.returncode == 0, done.stderr
        assert "the prepared cluster cannot be kept for the next start" in done.stderr
        fallback = stack.base / f"test-framework-{stack.person.uid}"
        assert stat.S_IMODE(fallback.stat().st_mode) == 0o700
        assert nowhere.run("status").returncode == 0
        nowhere.ok("down")
        assert stack.traces() == []
        assert list(fallback.iterdir()) == []


def test_a_temporary_state_directory_that_another_user_planted_is_refused(cluster_cache: Path) -> None:
    if os.getuid() != 0:
        pytest.fail("planting another user's directory needs root")
    with new_stack(cluster_cache, person=plain_person()) as stack:
        planted = stack.base / f"test-framework-{stack.person.uid}"
        planted.mkdir(mode=0o777)
        planted.chmod(0o777)
        nowhere = stack.without("TEST_STATE_DIR").having(HOME="/proc/nowhere", TMPDIR=str(stack.base))
        told = nowhere.fails(2, "up", "--backend", "native")
        assert "belongs to another user" in told
        assert str(planted) in told
        planted.rmdir()


def test_without_room_on_tmpfs_the_temporary_directory_serves(stack: NativeStack) -> None:
    """A mount namespace of its own makes /dev/shm as small as Docker's default."""
    script = 'mount -t tmpfs -o size=64m tmpfs /dev/shm && exec "$@"'
    namespace = ["unshare", "--mount"] if os.getuid() == 0 else ["unshare", "--mount", "--map-root-user"]
    command = [*namespace, "sh", "-c", script, "sh", *stack.command("up", "--backend", "native")]
    done = subprocess.run(command, env=stack.environment, cwd=stack.project, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert stack.run_dir.parent == Path("/tmp")
    assert stack.redis("GET", "thing") == "one"
    stack.ok("down")
    assert stack.traces() == []


def test_a_run_directory_may_be_named_relative_to_where_one_is_and_have_any_characters(stack: NativeStack) -> None:
    (stack.project / "run #1; here").mkdir()
    stack.having(TEST_RUN_DIR="run #1; here").up()
    assert stack.run_dir.parent == stack.project / "run #1; here"
    assert stack.redis("GET", "thing") == "one"
    stack.ok("down")
    assert list((stack.project / "run #1; here").iterdir()) == []


def test_a_run_directory_with_a_long_path_works(stack: NativeStack) -> None:
    """Longer than a Unix socket's path may be."""
    place = stack.base / ("long-" * 30)
    place.mkdir()
    stack.having(TEST_RUN_DIR=str(place)).up()
    stack.ok("down")
    assert list(place.iterdir()) == []
    assert stack.traces() == []


def test_another_temporary_directory_at_down_leaves_nothing_either(stack: NativeStack) -> None:
    place, temporary = stack.base / ("long-" * 30), stack.base / "tmp"
    place.mkdir()
    temporary.mkdir()
    stack.having(TEST_RUN_DIR=str(place), TMPDIR=str(temporary)).up()
    stack.ok("down")
    assert list(place.iterdir()) == []
    assert stack.processes() == []
    assert list(temporary.iterdir()) == []


def test_localhost_means_the_literal_loopback_address(stack: NativeStack) -> None:
    stack.having(TEST_BIND="localhost").up()
    endpoints = stack.settings.endpoints
    assert {endpoints.postgres.host, endpoints.redis.host, endpoints.clickhouse.host} == {"127.0.0.1"}


def test_a_locale_that_is_not_utf8_is_no_obstacle(stack: NativeStack) -> None:
    c_locale = stack.having(LC_ALL="C", LANG="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    c_locale.up()
    assert stack.postgres("SHOW server_encoding") == [("UTF8",)]
    assert c_locale.run("status").returncode == 0


def test_progress_is_plain_lines_in_a_pipe(stack: NativeStack) -> None:
    said = stack.run("up", "--backend", "native").stderr
    assert "\x1b" not in said
    for service in ("test-postgres", "test-redis", "test-clickhouse", "test-monitor"):
        assert any(line.startswith("[") and f"s] {service}" in line for line in said.splitlines())


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project in a directory with spaces, whose environment is ours."""
    root = tmp_path_factory.mktemp("copy") / "my real project"
    keep = ("test_framework", "monitor", "images", "scripts", "Makefile", "docker-compose.test.yml", "pyproject.toml")
    for name in (*keep, "requirements.lock"):
        source = CHECKOUT / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        root.mkdir(exist_ok=True)
        copy(source, root / name)  # type: ignore[operator] # both take two paths
    program = root / ".venv" / "bin" / "test-framework"
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -P -m test_framework "$@"\n')
    program.chmod(0o755)
    (root / ".venv" / ".installed").touch()
    return root


def script(stack: NativeStack, checkout: Path, command: str) -> subprocess.CompletedProcess[str]:
    environment = {**stack.environment, "PYTHONPATH": str(checkout), "PYTHONDONTWRITEBYTECODE": "1"}
    file = checkout / "scripts" / "setup_external_test_services.sh"
    return subprocess.run(
        [file, *([command] if command else [])], cwd=stack.project, env=environment, capture_output=True, text=True
    )


def test_the_script_sets_up_starts_checks_and_cleans_up_from_a_path_with_spaces(
    stack: NativeStack, checkout: Path
) -> None:
    ready = script(stack, checkout, "setup")
    assert (ready.returncode, ready.stdout) == (0, "ready\n"), ready.stderr
    started = script(stack, checkout, "start")
    assert started.returncode == 0, started.stderr
    assert f"{stack.name} is up (native)" in started.stdout
    # Its servers come from that copy, not from another installation.
    assert str(checkout) in " ".join(stack.server("test-clickhouse").cmdline())
    for command, word in (("status", "healthy"), ("validate", "ok    health: healthy")):
        done = script(stack, checkout, command)
        assert done.returncode == 0, done.stdout + done.stderr
        assert word in done.stdout
    assert script(stack, checkout, "stop").stdout == "stopped; nothing is left\n"
    assert stack.traces() == []


def test_cleanup_removes_the_prepared_clusters_too(tmp_path: Path, checkout: Path) -> None:
    with new_stack(tmp_path) as stack:
        assert script(stack, checkout, "start").returncode == 0
        clusters = tmp_path / "test-framework" / "clusters"
        assert len(list(clusters.iterdir())) == 1
        assert script(stack, checkout, "cleanup").returncode == 0
        assert not clusters.exists()
        assert stack.traces() == []


@pytest.mark.parametrize(("command", "status"), [("", 2), ("restart", 2), ("--help", 0)])
def test_the_script_says_its_commands(stack: NativeStack, checkout: Path, command: str, status: int) -> None:
    done = script(stack, checkout, command)
    assert done.returncode == status
    told = done.stdout if status == 0 else done.stderr
    assert [line.split()[0] for line in told.splitlines() if line.startswith("  ")] == [
        "setup",
        "start",
        "stop",
        "status",
        "validate",
        "cleanup",
    ]


def test_the_script_passes_exit_codes_on(stack: NativeStack, checkout: Path) -> None:
    assert script(stack, checkout, "status").returncode == 2
