"""The native stack's directory: on tmpfs where there is one, checked for space, and gone without a trace afterwards."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import psutil

from test_framework.errors import ResourceUnavailable, StackError

__all__ = ["MARKER", "create_run_directory", "find_run_directories", "is_tmpfs", "remove_run_directory"]

# In the environment of every process we start: how a stray one is told from everybody else's.
MARKER = "TEST_FRAMEWORK_RUN_DIR"
_TMPFS = Path("/dev/shm")  # noqa: S108 - the directory inside it is made by mkdtemp
_OWNER = "owner"
_RESERVE = 64 * 1024**2


def base_directories(variables: Mapping[str, str]) -> list[Path]:
    """Where a run directory may be made, best first."""
    if chosen := variables.get("TEST_RUN_DIR"):
        return [Path(chosen)]
    return [_TMPFS, Path(tempfile.gettempdir())]


def create_run_directory(stack_name: str, owner: Path, needed: int, variables: Mapping[str, str]) -> Path:
    """Make the directory on the first base that has room for ``needed`` bytes.

    ``owner`` is the state directory of the stack that it belongs to.

    Raises:
        ResourceUnavailable: none has; the message says how much each of them has.
    """
    tried = []
    for base in base_directories(variables):
        if not os.access(base, os.W_OK | os.X_OK):
            tried.append(f"{base} cannot be written")
            continue
        free = shutil.disk_usage(base).free
        if free < needed + _RESERVE:
            tried.append(f"{base} has {_mib(free)} free")
            continue
        run_dir = Path(tempfile.mkdtemp(dir=base, prefix=_prefix(stack_name)))
        # Servers that run as another user must be able to pass through; what lies inside is closed by itself.
        run_dir.chmod(0o711)
        (run_dir / _OWNER).write_text(str(owner))
        return run_dir
    raise ResourceUnavailable(
        f"the native stack needs {_mib(needed)} for its data",
        where="; ".join(tried),
        cause="its tmpfs sizes add up to that",
        fix="free some space, set TEST_RUN_DIR to another directory, or lower the tmpfs sizes in the override file",
    )


def find_run_directories(stack_name: str, owner: Path, variables: Mapping[str, str]) -> list[Path]:
    """Run directories of that stack, running or left behind by a command that was killed."""
    found = []
    for base in base_directories(variables):
        for path in base.glob(f"{_prefix(stack_name)}*"):
            with contextlib.suppress(OSError):
                if path.stat().st_uid == os.getuid() and (path / _OWNER).read_text() == str(owner):
                    found.append(path)
    return found


def _prefix(stack_name: str) -> str:
    # The trailing dot ends the name: stack "a" must never find the directories of stack "a-b".
    return f"test-framework.{os.getuid()}.{stack_name}."


def is_tmpfs(path: Path) -> bool:
    """Whether ``path`` lies in memory."""
    parts = sorted(psutil.disk_partitions(all=True), key=lambda part: len(part.mountpoint))
    holding = [part for part in parts if path.is_relative_to(part.mountpoint)]
    return bool(holding) and holding[-1].fstype in {"tmpfs", "ramfs"}


def remove_run_directory(run_dir: Path) -> None:
    """End what still runs from ``run_dir``, free its shared memory and delete it.

    Only processes that carry our marker with exactly this directory are touched.

    Raises:
        StackError: something could not be ended or deleted.
    """
    _end_processes(run_dir)
    _free_shared_memory(run_dir)
    if not run_dir.exists():
        return
    failures: list[str] = []
    shutil.rmtree(run_dir, onerror=lambda _f, path, error: failures.append(f"{path}: {error[1]}"))
    if run_dir.exists():
        raise StackError("the run directory cannot be deleted", where=str(run_dir), cause="; ".join(failures[:3]))


def processes_of(run_dir: Path) -> Iterator[psutil.Process]:
    """Every process that was started for ``run_dir``."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(MARKER) == str(run_dir):
                yield process


def _end_processes(run_dir: Path) -> None:
    strays = list(processes_of(run_dir))
    for step in (signal.SIGTERM, signal.SIGKILL):
        if not strays:
            return
        _signal(strays, step)
        _, strays = psutil.wait_procs(strays, timeout=2)
    if strays:
        raise StackError(
            "processes of the stack cannot be ended",
            where=", ".join(f"pid {process.pid}" for process in strays),
            fix="look at them with ps, end them, then run 'make test-down' again",
        )


def _signal(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def _free_shared_memory(run_dir: Path) -> None:
    """A PostgreSQL that was killed leaves a small System V segment, named in its pid file."""
    for pid_file in run_dir.glob("*/postmaster.pid"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            _key, identifier = pid_file.read_text().splitlines()[6].split()
            ctypes.CDLL(None).shmctl(int(identifier), 0, None)  # 0 is IPC_RMID


def _mib(size: int) -> str:
    return f"{size / 1024**2:.0f} MiB"
