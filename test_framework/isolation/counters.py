"""Numbers that each worker of a run counts for itself and all of them can read, in memory that they share.

The memory is a file without a name, which the system frees with the last process that has it open: whatever kills a
run, nothing is left. Where a system has no such files, and for a worker on another machine, each counts alone, and
whoever reads learns of no other.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import re
import stat
from enum import IntEnum
from typing import Self

from test_framework.isolation.values import Identity

__all__ = ["Counters", "Number", "SharedMemory"]


class Number(IntEnum):
    """What each worker keeps of its statements for administration."""

    BEGUN = 0
    DONE = 1
    GENERATION = 2  # another one after each that failed
    QUIET = 3  # nobody is to begin one until then, in nanoseconds of the monotonic clock


_WORKERS = 256
_NUMBERS = len(Number)
_HEAD = 64  # bytes for the run's name
_SIZE = _HEAD + _WORKERS * _NUMBERS * 8
_WORKER = re.compile(r"gw(\d+)\Z")


class SharedMemory:
    """The memory of one run, kept by its controller until ``close``."""

    def __init__(self, run_id: str) -> None:
        self._file = -1
        if hasattr(os, "memfd_create"):
            with contextlib.suppress(OSError):
                self._file = os.memfd_create("test-framework-counters")
                os.truncate(self._file, _SIZE)
                os.pwrite(self._file, _head(run_id), 0)

    @property
    def path(self) -> str:
        """Where processes of the same machine and user find it; empty when there is none."""
        return "" if self._file < 0 else f"/proc/{os.getpid()}/fd/{self._file}"

    def bury(self, worker_id: str) -> None:
        """Say that a worker has died. What it had begun is over, and nobody knows how it ended."""
        if self._file >= 0 and (worker := _place(worker_id)) is not None:
            dead = Counters(_numbers(self._file), worker)
            dead.add(Number.GENERATION, 1)
            dead.set(Number.BEGUN, dead.mine(Number.DONE))

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


class Counters:
    """What one worker counts, and the sums over all workers. Each number has one writer, so none is ever lost.

    Args:
        all_numbers: of all workers, in their order.
        worker: the place of this one.
    """

    def __init__(self, all_numbers: memoryview[int] | None = None, worker: int = 0) -> None:
        self._all = memoryview(bytearray(_NUMBERS * 8)).cast("q") if all_numbers is None else all_numbers
        self._first = worker * _NUMBERS

    @classmethod
    def of(cls, identity: Identity) -> Self:
        """Those that the workers of a run share, if this is one of them."""
        worker = _place(identity.worker_id)
        memory = None if worker is None else _open(identity)
        return cls() if memory is None or worker is None else cls(memory, worker)

    def add(self, number: Number, amount: int) -> None:
        """Change a number of this worker's."""
        self._all[self._first + number] += amount

    def set(self, number: Number, value: int) -> None:
        """Replace a number of this worker's."""
        self._all[self._first + number] = value

    def mine(self, number: Number) -> int:
        return self._all[self._first + number]

    def sum(self, number: Number) -> int:
        """Of all workers."""
        return sum(self._all[number::_NUMBERS])

    def highest_of_others(self, number: Number) -> int:
        """Of all workers but this one; at least 0."""
        column = self._all[number::_NUMBERS].tolist()
        del column[self._first // _NUMBERS]
        return max(column, default=0)


def _place(worker_id: str) -> int | None:
    found = _WORKER.match(worker_id)
    place = int(found[1]) if found else _WORKERS
    return place if place < _WORKERS else None


def _head(run_id: str) -> bytes:
    return run_id.encode().ljust(_HEAD, b"\0")[:_HEAD]


def _open(identity: Identity) -> memoryview[int] | None:
    """The numbers behind the path, if they are this run's."""
    try:
        with open(identity.counters, "r+b") as file:  # noqa: PTH123 - a path of the system's, no file's
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode) or file.read(_HEAD) != _head(identity.run_id):
                return None
            return _numbers(file.fileno())
    except (OSError, ValueError):
        return None


def _numbers(file: int) -> memoryview[int]:
    """Each is read and written by one instruction, as it lies on a border of eight bytes. Raises ``ValueError``."""
    return memoryview(mmap.mmap(file, _SIZE))[_HEAD:].cast("q")
