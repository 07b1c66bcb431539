"""Servers that are killed come back, stacks that are brought down are gone, and nobody else is touched."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from test_framework.stack.run_directory import MARKER, is_running
from tests.native_stack import NativeStack, new_stack, segment_exists

WRITE: dict[str, Callable[[NativeStack], object]] = {
    "test-postgres": lambda stack: stack.postgres("INSERT INTO things VALUES (42)"),
    "test-redis": lambda stack: stack.redis("SET", "answer", "42"),
    "test-clickhouse": lambda stack: stack.clickhouse("INSERT INTO things VALUES (42)"),
}
READ: dict[str, Callable[[NativeStack], object]] = {
    "test-postgres": lambda stack: stack.postgres("SELECT id FROM things ORDER BY id"),
    "test-redis": lambda stack: [stack.redis("GET", "answer"), stack.redis("GET", "thing")],
    "test-clickhouse": lambda stack: stack.clickhouse("SELECT id FROM things ORDER BY id").split(),
}


def eventually(check: Callable[[], bool], seconds: float = 20.0) -> None:
    """Poll until ``check`` holds; errors count as "not yet"."""
    give_up = time.monotonic() + seconds
    while True:
        try:
            if check():
                return
        except (Exception, AssertionError):
            if time.monotonic() > give_up:
                raise
        assert time.monotonic() < give_up, "it did not happen in time"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def durable(cluster_cache: Path) -> Iterator[NativeStack]:
    """A running stack whose servers may be killed."""
    with new_stack(cluster_cache) as stack:
        stack.up()
        yield stack


@pytest.mark.parametrize("server", WRITE)
def test_a_killed_server_comes_back_with_its_data(durable: NativeStack, server: str) -> None:
    WRITE[server](durable)
    before = READ[server](durable)
    assert "42" in str(before)
    victim = durable.server(server)
    victim.kill()
    eventually(lambda: durable.server(server).pid != victim.pid and READ[server](durable) == before)


def test_up_finds_a_stack_whose_servers_were_killed_and_came_back(durable: NativeStack) -> None:
    stack_id = durable.state.stack_id
    eventually(lambda: durable.run("status").returncode == 0)
    assert durable.json("up")["stack_id"] == stack_id


def test_a_killed_monitor_comes_back(durable: NativeStack) -> None:
    victim = durable.server("test-monitor")
    victim.kill()
    eventually(lambda: durable.server("test-monitor").pid != victim.pid)


def test_status_of_a_stack_with_a_stopped_server_names_it_and_exits_1(durable: NativeStack) -> None:
    victim = durable.server("test-redis")
    victim.suspend()
    try:
        done = durable.run("status")
    finally:
        victim.resume()
    assert done.returncode == 1
    assert "redis       unresponsive" in done.stdout
    assert "fix:" in done.stdout


def test_down_leaves_nothing(stack: NativeStack) -> None:
    stack.up()
    segment, run_dir, pids = stack.shared_memory(), stack.run_dir, stack.pids()
    assert segment_exists(segment)
    assert len(stack.processes()) >= 5
    assert stack.ok("down") == "stopped; nothing is left\n"
    assert stack.traces() == []
    assert not run_dir.exists()
    assert [name for name, pid in pids.items() if is_running(pid)] == []
    assert not segment_exists(segment)


def test_down_of_nothing_is_harmless(stack: NativeStack) -> None:
    assert stack.ok("down") == "nothing was up\n"
    assert stack.traces() == []


def test_down_after_the_supervisor_was_killed_leaves_nothing(stack: NativeStack) -> None:
    stack.up()
    segment, pids = stack.shared_memory(), stack.pids()
    stack.supervisor().kill()
    stack.ok("down")
    assert stack.traces() == []
    assert [name for name, pid in pids.items() if is_running(pid)] == []
    assert not segment_exists(segment)


def test_down_after_supervisor_and_postgres_were_killed_frees_the_shared_memory(stack: NativeStack) -> None:
    stack.up()
    segment = stack.shared_memory()
    stack.supervisor().kill()
    stack.server("test-postgres").kill()
    assert segment_exists(segment)
    stack.ok("down")
    assert stack.traces() == []
    assert not segment_exists(segment)


def test_down_ends_a_supervisor_that_hangs_and_servers_that_are_stopped(stack: NativeStack) -> None:
    stack.up()
    pids = stack.pids()
    stack.server("test-redis").suspend()
    stack.supervisor().suspend()
    stack.ok("down")
    assert stack.traces() == []
    assert [name for name, pid in pids.items() if is_running(pid)] == []


def test_down_finds_a_stack_whose_state_file_is_lost_wherever_it_runs(stack: NativeStack) -> None:
    place = stack.base / "run"
    place.mkdir()
    elsewhere = stack.having(TEST_RUN_DIR=str(place))
    elsewhere.up()
    (stack.state_directory / "state.json").unlink()
    # Without TEST_RUN_DIR: only the processes themselves can tell.
    assert stack.ok("down") == "stopped; nothing is left\n"
    assert stack.traces() == []


def test_up_replaces_a_stack_that_lost_its_servers_for_good(stack: NativeStack) -> None:
    first = stack.up()
    stack.supervisor().kill()
    stack.server("test-redis").kill()
    done = stack.run("up", "--backend", "native")
    assert done.returncode == 0, done.stderr
    assert "not healthy" in done.stderr
    assert stack.state.stack_id != first.stack_id
    assert stack.redis("GET", "thing") == "one"
    assert not Path(first.run_dir or "").exists()


def test_two_stacks_live_side_by_side(durable: NativeStack, stack: NativeStack) -> None:
    stack.up()
    durable.redis("SET", "whose", "durable's")
    stack.redis("SET", "whose", "the other's")
    assert durable.redis("GET", "whose") == "durable's"
    pids = durable.pids()
    stack.ok("down")
    assert stack.traces() == []
    assert durable.pids() == pids
    assert durable.run("status").returncode == 0


def test_a_stack_whose_name_begins_like_another_ones_is_not_taken_for_it(
    durable: NativeStack, stack: NativeStack
) -> None:
    longer = stack.having(TEST_STACK_NAME=f"{stack.name}-b")
    run_dirs = [Path(each.json("up", "--backend", "native")["run_dir"]) for each in (stack, longer)]
    try:
        stack.ok("down")
        assert [run_dir.exists() for run_dir in run_dirs] == [False, True]
        assert longer.run("status").returncode == 0
    finally:
        longer.ok("down")
    assert not run_dirs[1].exists()


def test_the_same_name_in_another_state_directory_is_another_stack(stack: NativeStack) -> None:
    other = stack.having(TEST_STATE_DIR=str(stack.base / "other-state"))
    stack.up()
    other.up()
    try:
        assert stack.run("status").returncode == 0
    finally:
        other.ok("down")
    assert stack.run("status").returncode == 0


def test_a_foreign_process_and_its_files_are_left_alone(stack: NativeStack) -> None:
    """Even when its file names look like ours, and the state file of ours points at them."""
    run_dir = stack.base / "run" / "test-framework.not-ours"
    run_dir.mkdir(parents=True)
    (run_dir / "precious").write_text("data")
    innocent = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(600)", str(run_dir)],
        env={**os.environ, MARKER: str(run_dir)},
        start_new_session=True,
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        try:
            stack.up()
            state = stack.state_directory / "state.json"
            state.write_text(state.read_text().replace(str(stack.run_dir), str(run_dir)))
            stack.ok("down")
            assert innocent.poll() is None
            assert (run_dir / "precious").read_text() == "data"
            assert listener.getsockname()[1] > 0
            assert stack.processes() == []
        finally:
            innocent.send_signal(signal.SIGKILL)
            innocent.wait()


def test_every_process_of_the_stack_bears_its_mark(durable: NativeStack) -> None:
    """That is how a later command finds them without any file: one that hides its environment would be lost."""
    for pid in durable.pids().values():
        assert psutil.Process(pid).environ()[MARKER] == str(durable.run_dir)


def test_seed_and_reset_bring_the_base_data_back(durable: NativeStack) -> None:
    durable.redis("SET", "thing", "spoilt")
    durable.clickhouse("TRUNCATE TABLE things")
    durable.postgres("DELETE FROM things")
    assert durable.json("reset")["loaded"] is True
    assert durable.redis("GET", "thing") == "one"
    assert durable.clickhouse("SELECT count() FROM things") == "3"
    assert durable.postgres("SELECT count(*) FROM things") == [(2,)]
