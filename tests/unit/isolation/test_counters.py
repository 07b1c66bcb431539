"""Workers of a run read each other's numbers, and nobody else's."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from test_framework.isolation.counters import Counters, Number, SharedMemory
from test_framework.isolation.values import Identity

pytestmark = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="this system has no files without a name")

RUN = "a" * 16


@pytest.fixture
def memory() -> Iterator[SharedMemory]:
    memory = SharedMemory(RUN)
    yield memory
    memory.close()


def worker(memory: SharedMemory, number: int) -> Identity:
    return Identity(run_id=RUN, worker_id=f"gw{number}", workers=2, counters=memory.path)


def test_what_another_process_counts_is_in_the_sum(memory: SharedMemory) -> None:
    ours = Counters.of(worker(memory, 0))
    ours.add(Number.DONE, 5)
    script = (
        "from test_framework.isolation.counters import Counters, Number;"
        "from test_framework.isolation.values import Identity;"
        f"c = Counters.of(Identity(run_id={RUN!r}, worker_id='gw1', counters={memory.path!r}));"
        "c.add(Number.DONE, 3); c.set(Number.QUIET, 70); print(c.sum(Number.DONE), c.highest_of_others(Number.QUIET))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["8", "0"]
    assert (ours.sum(Number.BEGUN), ours.sum(Number.DONE), ours.highest_of_others(Number.QUIET)) == (0, 8, 70)


def test_a_workers_own_number_is_none_of_the_others(memory: SharedMemory) -> None:
    one, two = (Counters.of(worker(memory, number)) for number in (0, 1))
    one.set(Number.QUIET, 9)
    assert (one.highest_of_others(Number.QUIET), two.highest_of_others(Number.QUIET)) == (0, 9)


@pytest.mark.parametrize(
    "changes",
    [
        {"run_id": "b" * 16},
        {"worker_id": "master"},
        {"worker_id": "gw100000"},
        {"counters": ""},
        {"counters": "/dev/null"},
        {"counters": "/proc/self/mem"},
    ],
    ids=str,
)
def test_whoever_does_not_belong_to_the_run_counts_alone(memory: SharedMemory, changes: dict[str, Any]) -> None:
    ours = Counters.of(worker(memory, 0))
    other = Counters.of(replace(worker(memory, 1), **changes))
    other.add(Number.BEGUN, 1)
    assert (ours.sum(Number.BEGUN), other.sum(Number.BEGUN)) == (0, 1)


def test_a_file_that_is_shorter_than_it_should_be_is_not_counted_in(tmp_path: Path) -> None:
    file = tmp_path / "short"
    file.write_bytes(RUN.encode().ljust(64, b"\0"))
    counters = Counters.of(Identity(run_id=RUN, worker_id="gw0", counters=str(file)))
    counters.add(Number.BEGUN, 1)
    assert counters.sum(Number.BEGUN) == 1
    assert len(file.read_bytes()) == 64


def test_memory_that_its_controller_has_closed_is_not_found(memory: SharedMemory) -> None:
    late = worker(memory, 1)
    memory.close()
    assert memory.path == ""
    assert Counters.of(late).sum(Number.BEGUN) == 0


def test_what_a_dead_worker_had_begun_is_over_and_its_end_unknown(memory: SharedMemory) -> None:
    one, two = (Counters.of(worker(memory, number)) for number in (0, 1))
    two.add(Number.BEGUN, 3)
    two.add(Number.DONE, 2)
    one.add(Number.BEGUN, 1)
    memory.bury("gw1")
    assert (one.sum(Number.BEGUN), one.sum(Number.DONE), one.sum(Number.GENERATION)) == (3, 2, 1)
