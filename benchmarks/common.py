"""What the benchmarks share: timing, medians and tables."""

from __future__ import annotations

import contextlib
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import psutil

__all__ = ["Section", "compiled_once", "interleaved", "machine", "median", "memory_of", "table", "timed"]


@dataclass(frozen=True)
class Section:
    """A titled piece of the record, in Markdown."""

    title: str
    body: str


@contextlib.contextmanager
def compiled_once() -> Iterator[None]:
    """Every process that is measured finds its modules compiled, as a user's does, whatever the environment says."""
    with tempfile.TemporaryDirectory(prefix="tf-bytecode-") as directory:
        os.environ["PYTHONPYCACHEPREFIX"] = directory
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        yield


def timed(action: Callable[[], object]) -> float:
    """Seconds that ``action`` takes."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def interleaved(actions: dict[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Each action once a round, so that a busy moment of the machine hits all of them alike."""
    found: dict[str, list[float]] = {name: [] for name in actions}
    for _ in range(rounds):
        for name, action in actions.items():
            found[name].append(action())
    return found


def median(values: Iterable[float]) -> float:
    return statistics.median(values)


def memory_of(processes: Iterable[psutil.Process]) -> tuple[float, float]:
    """PSS and RSS in MiB of ``processes`` with all their children; one that ends meanwhile does not count."""
    family = {member for process in processes for member in (process, *process.children(recursive=True))}
    pss = rss = 0
    for process in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            found = process.memory_full_info()
            pss, rss = pss + found.pss, rss + found.rss
    return pss / 1024**2, rss / 1024**2


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def machine() -> str:
    """One line about where the figures come from."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return (
        f"{os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {platform.release().split('-')[0]}, "
        f"Python {platform.python_version()}, load {load}"
    )
