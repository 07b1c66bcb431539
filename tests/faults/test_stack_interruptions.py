"""Interrupted at any moment, by any signal, "up" leaves nothing; and several at once start one stack."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.native_stack import NativeStack, new_stack

# What "up" says at the moment of the interruption; a first start prepares a cluster in between.
MOMENTS = {
    "backend": "backend native",
    "preparing": "preparing a PostgreSQL cluster",
    "starting": "test-clickhouse  starting",
    "healthy": "test-redis       healthy",
    "seeding": "test-seeder      seeding",
    "last wait": "waiting for its first healthy answer",
}
SIGNALS = {"SIGINT": signal.SIGINT, "SIGTERM": signal.SIGTERM, "SIGHUP": signal.SIGHUP}


def interrupt(process: subprocess.Popen[str], moment: str, *numbers: signal.Signals, group: bool = False) -> str:
    """Send ``numbers`` when ``moment`` is said; returns all that was said on standard error."""
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if moment in line:
            for number in numbers:
                os.killpg(process.pid, number) if group else process.send_signal(number)
            break
    said.append(process.stderr.read())
    process.stderr.close()
    assert process.stdout is not None
    process.stdout.close()
    process.wait(timeout=60)
    assert moment in "".join(said), "the moment was never reached"
    return "".join(said)


LATER = [("SIGTERM", "preparing"), ("SIGTERM", "seeding"), ("SIGHUP", "starting")]
CASES = [("SIGINT", moment) for moment in MOMENTS] + LATER


@pytest.mark.parametrize(("name", "moment"), CASES)
def test_up_that_is_interrupted_leaves_nothing(tmp_path: Path, cluster_cache: Path, name: str, moment: str) -> None:
    with new_stack(tmp_path if moment == "preparing" else cluster_cache) as stack:
        # The last wait is too short to be hit where the monitor finds its modules compiled.
        slow = {"PYTHONPYCACHEPREFIX": "", "PYTHONDONTWRITEBYTECODE": "1"} if moment == "last wait" else {}
        process = stack.having(**slow).start("up", "--backend", "native", start_new_session=True)
        said = interrupt(process, MOMENTS[moment], SIGNALS[name])
        assert process.returncode == 130, said
        assert said.endswith("interrupted; what was begun has been undone\n")
        assert "Traceback" not in said
        assert stack.traces() == []


def test_a_terminals_ctrl_c_goes_to_every_child_and_is_still_an_interruption(tmp_path: Path) -> None:
    """The whole process group gets it, initdb as well; pressed thrice, the cleaning up goes on."""
    with new_stack(tmp_path) as stack:
        process = stack.start("up", "--backend", "native", start_new_session=True)
        said = interrupt(process, MOMENTS["preparing"], *[signal.SIGINT] * 3, group=True)
        assert process.returncode == 130, said
        assert "Traceback" not in said
        assert stack.traces() == []


@pytest.mark.parametrize("moment", ["preparing", "healthy"])
def test_up_that_is_killed_is_cleared_by_down(tmp_path: Path, cluster_cache: Path, moment: str) -> None:
    """It could not clean up by itself: half a stack runs, and nothing was published."""
    with new_stack(tmp_path if moment == "preparing" else cluster_cache) as stack:
        process = stack.start("up", "--backend", "native", start_new_session=True)
        interrupt(process, MOMENTS[moment], signal.SIGKILL)
        assert stack.processes() != []
        assert stack.ok("down") == "stopped; nothing is left\n"
        assert stack.traces() == []


def test_up_after_one_that_was_killed_begins_anew(stack: NativeStack) -> None:
    process = stack.start("up", "--backend", "native", start_new_session=True)
    interrupt(process, MOMENTS["healthy"], signal.SIGKILL)
    left = {found.pid for found in stack.processes()}
    assert left
    stack.up()
    assert left.isdisjoint(found.pid for found in stack.processes())
    assert stack.redis("GET", "thing") == "one"


def test_four_at_once_start_one_stack_and_all_succeed(stack: NativeStack) -> None:
    processes = [stack.start("up", "--backend", "native", "--json", start_new_session=True) for _ in range(4)]
    answers = [process.communicate(timeout=100) for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, answers
    assert sum('"started": true' in out for out, _ in answers) == 1
    assert sum("test-seeder      seeding" in err for _, err in answers) == 1
    assert sum("waiting for pid" in err and "(test-framework up)" in err for _, err in answers) == 3
    assert len({out.split('"stack_id": ')[1].split(",")[0] for out, _ in answers}) == 1


def test_down_during_up_waits_for_it_and_then_leaves_nothing(stack: NativeStack) -> None:
    up = stack.start("up", "--backend", "native", start_new_session=True)
    assert up.stderr is not None
    while "starting" not in (line := up.stderr.readline()):
        assert line, "it ended early"
    done = stack.run("down")
    out, err = up.communicate(timeout=60)
    assert up.returncode == 0, out + err
    assert done.returncode == 0
    assert "waiting for pid" in done.stderr
    assert done.stdout == "stopped; nothing is left\n"
    assert stack.traces() == []


def test_two_downs_at_once_are_harmless(stack: NativeStack) -> None:
    stack.up()
    processes = [stack.start("down", start_new_session=True) for _ in range(2)]
    answers = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], answers
    assert stack.traces() == []
