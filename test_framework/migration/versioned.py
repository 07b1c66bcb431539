"""What git says about files: which of them it could not give back after they are overwritten."""

from __future__ import annotations

import os
import subprocess
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from test_framework.errors import SettingsError

__all__ = ["uncommitted"]

NAMED_BY_HOOKS = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")


def uncommitted(paths: Iterable[Path]) -> list[Path]:
    """Those of ``paths`` that git tracks and that differ from the last commit, staged or not.

    Files that git does not track, and files outside of a repository, are none of its business. Raises SettingsError
    when there is a repository and git cannot be asked.
    """
    by_repository: defaultdict[Path, list[Path]] = defaultdict(list)
    for path in paths:
        real = Path(os.path.realpath(path))
        if repository := next((folder for folder in real.parents if (folder / ".git").exists()), None):
            by_repository[repository].append(path)
    changed: list[Path] = []
    for repository, files in by_repository.items():
        names = _changed(repository)
        changed += [path for path in files if Path(os.path.realpath(path)) in names]
    return changed


def _changed(repository: Path) -> set[Path]:
    command = ["git", "status", "--porcelain", "-z", "--untracked-files=no", "--no-renames", "--ignore-submodules"]
    try:
        # The repository is the one around the file, also inside a hook that names another. And without a refresh of the
        # index: this command must not get in the way of another git.
        environment = {name: value for name, value in os.environ.items() if name not in NAMED_BY_HOOKS}
        environment["GIT_OPTIONAL_LOCKS"] = "0"
        ended = subprocess.run(command, cwd=repository, env=environment, capture_output=True, check=False)
    except OSError as error:
        raise _no_answer(repository, error.strerror or str(error)) from error
    if ended.returncode:
        raise _no_answer(repository, os.fsdecode(ended.stderr).strip())
    entries = os.fsdecode(ended.stdout).split("\0")
    return {repository / entry[3:] for entry in entries if entry}


def _no_answer(repository: Path, cause: str) -> SettingsError:
    return SettingsError(
        "git cannot say which files have uncommitted changes",
        where=str(repository),
        cause=cause,
        fix="repair that, or write without asking git: --force",
    )
