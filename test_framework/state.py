"""The small file in which a running stack says what it is and where: how clients learn the ports.

One directory per user and stack name, readable by its owner only, since the file holds the stack's passwords.
"""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from test_framework.endpoints import Endpoints
from test_framework.errors import SettingsError

__all__ = ["StackState", "find_state_directory", "read_state", "remove_state", "write_state"]

STATE_VERSION = 1
STATE_FILE = "state.json"


@dataclass(frozen=True, kw_only=True)
class StackState:
    """What a running stack published.

    Args:
        stack_id: random, written into the servers at seeding; a server that does not know it was lost or is foreign.
        definition: hash of the resolved definition that was started.
        started_at: seconds since the epoch.
        run_dir: where the native backend keeps data, sockets and logs; ``None`` for others.
        details: what only the backend itself needs to find its servers again.
    """

    stack_name: str
    backend: str
    stack_id: str
    definition: str
    project_dir: str
    started_at: float
    endpoints: Endpoints
    versions: dict[str, str] = field(default_factory=dict)
    run_dir: str | None = None
    details: dict[str, Any] = field(default_factory=dict)


def find_state_directory(stack_name: str, base: str | None = None) -> Path:
    """Directory of the stack's state file and lock. Nothing is created.

    ``base`` replaces the user's own state directory; where that cannot be written (a read-only home), a directory
    below the system's temporary one takes its place.
    """
    if base:
        return Path(base).absolute() / stack_name
    import platformdirs

    home = platformdirs.user_state_path("test-framework")
    existing = next(parent for parent in (home, *home.parents) if parent.exists())
    if os.access(existing, os.W_OK):
        return home / stack_name
    return _temporary_home() / stack_name


def _temporary_home() -> Path:
    return Path(tempfile.gettempdir()) / f"test-framework-{os.getuid()}"


def ensure_state_directory(directory: Path) -> Path:
    """Create ``directory`` for its owner only, and refuse one that belongs to somebody else.

    Raises:
        SettingsError: it exists and is another user's, or it cannot be created.
    """
    # Everybody can write in the temporary directory: there the directory above ours must be our own, too.
    guarded = [directory.parent, directory] if directory.parent == _temporary_home() else [directory]
    try:
        for each in guarded:
            each.mkdir(mode=0o700, parents=True, exist_ok=True)
            if (owner := each.lstat().st_uid) != os.getuid():
                raise _foreign(each, owner)
    except OSError as error:
        raise SettingsError(
            "the stack's state directory cannot be created",
            where=str(directory),
            cause=str(error),
            fix="set TEST_STATE_DIR to a directory you can write",
        ) from error
    return directory


def _foreign(path: Path, owner: int) -> SettingsError:
    return SettingsError(
        "the stack's state belongs to another user",
        where=str(path),
        cause=f"its owner is uid {owner}, you are uid {os.getuid()}",
        fix="set TEST_STATE_DIR to a directory of your own",
    )


def read_state(directory: Path) -> StackState | None:
    """What the stack published, or ``None`` when nothing is up.

    Raises:
        SettingsError: the file is there and cannot be understood, or somebody else wrote it.
    """
    file = directory / STATE_FILE
    try:
        with file.open("rb") as stream:
            owner = os.fstat(stream.fileno()).st_uid
            text = stream.read()
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return None
    except OSError as error:
        raise _unreadable(file, error) from error
    if owner != os.getuid():
        raise _foreign(file, owner)
    try:
        values = json.loads(text)
        if values.pop("version") != STATE_VERSION:
            raise ValueError("it was written by another version of this package")
        return StackState(**{**values, "endpoints": Endpoints.from_dict(values["endpoints"])})
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise _unreadable(file, error) from error


def _unreadable(file: Path, error: Exception) -> SettingsError:
    return SettingsError(
        "the stack's state file cannot be understood",
        where=str(file),
        cause=f"{type(error).__name__}: {error}",
        fix="run 'make test-down' (it cleans up without the file too), then 'make test-up'",
    )


def write_state(directory: Path, state: StackState) -> None:
    """Publish ``state`` atomically: a reader sees the old file or the new one, never half of either."""
    ensure_state_directory(directory)
    names = (
        "stack_name",
        "backend",
        "stack_id",
        "definition",
        "project_dir",
        "started_at",
        "versions",
        "run_dir",
        "details",
    )
    values = {"version": STATE_VERSION, **{name: getattr(state, name) for name in names}}
    values["endpoints"] = state.endpoints.as_dict()
    descriptor, temporary = tempfile.mkstemp(dir=directory, prefix=".state-")
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        json.dump(values, stream, indent=1)
    Path(temporary).replace(directory / STATE_FILE)


def remove_state(directory: Path) -> None:
    """Forget the stack. Harmless when nothing was published."""
    (directory / STATE_FILE).unlink(missing_ok=True)
