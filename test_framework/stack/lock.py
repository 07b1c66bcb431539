"""One command at a time on a stack: a lock the kernel frees when its holder dies."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from test_framework.errors import StackBusy
from test_framework.state import ensure_state_directory
from test_framework.waiting import Deadline, wait_until

__all__ = ["StackLock"]

LOCK_FILE = "lock"


class StackLock:
    """Async context manager around an exclusive ``flock`` in the stack's state directory.

    Args:
        directory: the stack's state directory; it is created when it is missing.
        action: what the holder does ("up"), shown to those who wait.
        timeout: seconds to wait for another holder.
        on_wait: called with a sentence, once a second, while somebody else holds the lock.
    """

    def __init__(self, directory: Path, action: str, timeout: float, on_wait: Callable[[str], None]) -> None:
        self._directory = directory
        self._file = directory / LOCK_FILE
        self._action = action
        self._timeout = timeout
        self._on_wait = on_wait
        self._descriptor: int | None = None
        self._announced = 0.0

    async def __aenter__(self) -> Self:
        started = time.monotonic()

        async def attempt() -> bool:
            if self._try():
                return True
            if time.monotonic() - self._announced >= 1:
                self._announced = time.monotonic()
                self._on_wait(f"waiting for {self._holder()} ({time.monotonic() - started:.0f} s)")
            return False

        if not await wait_until(attempt, Deadline.after(self._timeout)):
            raise StackBusy(
                f"the stack is still in use by {self._holder()} after {self._timeout:.0f} s",
                where=str(self._file),
                fix="wait for that command, or end it, then run yours again",
            )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def forget(self) -> None:
        """Remove the lock file and its directory if nothing else is in it. To be called while holding the lock."""
        self._file.unlink(missing_ok=True)
        try:
            self._directory.rmdir()
        except OSError:
            return  # something else is kept there; that is not ours to judge

    def _try(self) -> bool:
        ensure_state_directory(self._directory)
        try:
            descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            return False  # the directory went away between the two calls: "down" finished just now
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not self._is_current(descriptor):
                raise BlockingIOError
        except BlockingIOError:
            os.close(descriptor)
            return False
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"pid {os.getpid()} ({self._action})".encode(), 0)
        self._descriptor = descriptor
        return True

    def _is_current(self, descriptor: int) -> bool:
        """Whether the file we locked is still the one at that path: a ``down`` may have removed it meanwhile."""
        try:
            return os.fstat(descriptor).st_ino == self._file.stat().st_ino
        except FileNotFoundError:
            return False

    def _holder(self) -> str:
        try:
            return self._file.read_text() or "another command"
        except OSError:
            return "another command"
