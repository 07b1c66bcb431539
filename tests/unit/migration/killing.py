"""Work for other processes that kills the process it is done in when it meets what it cannot bear."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence

from test_framework.migration import reading

POISON = "poison"


def read_or_die(paths: Sequence[str]) -> list[tuple[str, str]]:
    """What a scan's process does, until it comes to a path with POISON in its name."""
    if any(POISON in path for path in paths):
        os.kill(os.getpid(), signal.SIGKILL)
    return reading._work(paths)


def doubled_or_die(numbers: Sequence[int]) -> list[int]:
    """Twice each number; a negative one kills the process."""
    if any(number < 0 for number in numbers):
        os.kill(os.getpid(), signal.SIGKILL)
    return [2 * number for number in numbers]
