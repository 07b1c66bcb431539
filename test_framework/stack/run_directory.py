"""The native stack's directory: on tmpfs where there is one, checked for space, and gone without a trace afterwards."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import psutil

from test_framework.errors import ResourceUnavailable, StackError

__all__ = [
    "MARKER",
    "check_space",
    "create_run_directory",
    "find_run_directories",
    "is_run_directory",
    "is_running",
    "is_tmpfs",
    "remove_run_directory",
]

# In the environment of every process we start: how a stray one is told from everybody else's.
MARKER = "TEST_FRAMEWORK_RUN_DIR"
_TMPFS = Path("/dev/shm")  # noqa: S108 - the directory inside it is made by mkdtemp
_SERVERS = {"postgres", "redis-server", "clickhouse", "clickhouse-serv"}
_RESERVE = 64 * 1024**2


def base_directories(variables: Mapping[str, str]) -> list[Path]:
    """Where a run directory may be made, best first."""
    if chosen := variables.get("TEST_RUN_DIR"):
        return [Path(chosen).absolute()]
    return [_TMPFS, Path(tempfile.gettempdir())]


def check_space(needed: int, variables: Mapping[str, str], *, held: Path | None = None) -> Path:
    """The first base directory that has room for ``needed`` bytes, counting what ``held`` will give back.

    Raises:
        ResourceUnavailable: none has; the message says how much each of them has.
    """
    tried = []
    for base in base_directories(variables):
        if not os.access(base, os.W_OK | os.X_OK):
            tried.append(f"{base} cannot be written")
            continue
        free = shutil.disk_usage(base).free + (_size(held) if held and held.parent == base else 0)
        if free >= needed + _RESERVE:
            return base
        tried.append(f"{base} has {_mib(free)} free")
    raise ResourceUnavailable(
        f"the native stack needs {_mib(needed)} for its data",
        where="; ".join(tried),
        cause="its tmpfs sizes add up to that",
        fix="free some space, set TEST_RUN_DIR to another directory, or lower the tmpfs sizes in the override file",
    )


def create_run_directory(stack_name: str, owner: Path, needed: int, variables: Mapping[str, str]) -> Path:
    """Make the directory on the first base that has room for ``needed`` bytes.

    ``owner`` is the state directory of the stack that it belongs to.

    Raises:
        ResourceUnavailable: none has.
    """
    base = check_space(needed, variables)
    run_dir = Path(tempfile.mkdtemp(dir=base, prefix=_prefix(stack_name, owner)))
    # Servers that run as another user must be able to pass through; what lies inside is closed by itself.
    run_dir.chmod(0o711)
    return run_dir


def find_run_directories(stack_name: str, owner: Path, variables: Mapping[str, str]) -> list[Path]:
    """Run directories of that stack, running or left behind by a command that was killed.

    Also those that a process of ours says it was started for: ``TEST_RUN_DIR`` may have been another one then.
    """
    pattern = f"{_prefix(stack_name, owner)}*"
    lying = (path for base in base_directories(variables) for path in base.glob(pattern))
    return sorted({path for path in (*lying, *_marked()) if is_run_directory(path, stack_name, owner)})


def is_run_directory(path: Path, stack_name: str, owner: Path) -> bool:
    """Whether ``path`` was made by :func:`create_run_directory` for that stack, and so may be removed."""
    try:
        return path.name.startswith(_prefix(stack_name, owner)) and path.lstat().st_uid == os.getuid()
    except OSError:
        return False


def _prefix(stack_name: str, owner: Path) -> str:
    """Names the stack exactly: a trailing dot, since "a" must never find the directories of "a-b"."""
    return f"test-framework.{os.getuid()}.{stack_name}.{hashlib.sha256(os.fsencode(owner)).hexdigest()[:8]}."


def _marked() -> Iterator[Path]:
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if value := process.environ().get(MARKER):
                yield Path(value)


def _size(directory: Path) -> int:
    total = 0
    for folder, _, names in os.walk(directory):
        for name in names:
            with contextlib.suppress(FileNotFoundError):  # a server at work deletes files of its own
                total += Path(folder, name).lstat().st_blocks * 512
    return total


def is_tmpfs(path: Path) -> bool:
    """Whether ``path`` lies in memory."""
    parts = sorted(psutil.disk_partitions(all=True), key=lambda part: len(part.mountpoint))
    holding = [part for part in parts if path.is_relative_to(part.mountpoint)]
    return bool(holding) and holding[-1].fstype in {"tmpfs", "ramfs"}


def remove_run_directory(run_dir: Path) -> None:
    """End what still runs from ``run_dir``, free its shared memory and delete it.

    Only processes that carry our marker with exactly this directory are touched, and servers that work in it.

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
    """Every process that was started for ``run_dir``.

    Servers may overwrite their environment to show a title, as PostgreSQL's workers do: those work there.
    """
    for process in psutil.process_iter(["name"]):
        with contextlib.suppress(psutil.Error):
            works_there = process.info["name"] in _SERVERS and Path(process.cwd()).is_relative_to(run_dir)
            if works_there or process.environ().get(MARKER) == str(run_dir):
                yield process


def _end_processes(run_dir: Path) -> None:
    """Ask those we started, then kill them with all their children: servers' workers hide their environment."""
    ours = list(processes_of(run_dir))
    if not ours:
        return
    everybody = {*ours, *(child for process in ours for child in _children(process))}
    for process in ours:
        # PostgreSQL would wait for its clients after SIGTERM.
        _signal(process, signal.SIGINT if process.info["name"] == "postgres" else signal.SIGTERM)
    strays = _wait_for_end(everybody)
    for process in strays:
        _signal(process, signal.SIGKILL)
    strays = _wait_for_end(strays)
    if strays:
        raise StackError(
            "processes of the stack cannot be ended",
            where=", ".join(f"pid {process.pid}" for process in strays),
            fix="look at them with ps, end them, then run 'make test-down' again",
        )


def _wait_for_end(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Those that still run after two seconds."""
    give_up = time.monotonic() + 2
    left = list(processes)
    while left and time.monotonic() < give_up:
        time.sleep(0.01)
        left = [process for process in left if is_running(process.pid)]
    return left


def is_running(pid: int) -> bool:
    """Whether there is such a process and it has not ended: pid 1 of a container is slow to collect the ended ones."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(number)


def _free_shared_memory(run_dir: Path) -> None:
    """A PostgreSQL that was killed leaves a small System V segment, named in its pid file."""
    # Two levels deep while a cluster is being prepared.
    for pid_file in (*run_dir.glob("*/postmaster.pid"), *run_dir.glob("*/*/postmaster.pid")):
        with contextlib.suppress(OSError, ValueError, IndexError):
            _key, identifier = pid_file.read_text().splitlines()[6].split()
            ctypes.CDLL(None).shmctl(int(identifier), 0, None)  # 0 is IPC_RMID


def _mib(size: int) -> str:
    return f"{size / 1024**2:.0f} MiB"
