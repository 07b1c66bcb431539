"""What users run on the Postgres database being built: a migration command, a function of theirs."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import inspect
import os
import shlex
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from test_framework.errors import SeedError
from test_framework.seeding.reading import digest_of, tree_digest
from test_framework.services.base import BuildStep

__all__ = ["callable_step", "migration_step"]

# Where migrations usually lie, when nobody said.
_USUAL_PATHS = ("alembic.ini", "alembic", "migrations")
_SHOWN_LINES = 50


def migration_step(command: str, paths: Sequence[Path], project_dir: Path) -> BuildStep:
    """``command`` as a step. It finds the database in ``DATABASE_URL``, ``TEST_DATABASE_URL`` and ``PGHOST`` & co.

    Raises:
        SeedError: the command cannot be split into words, or a path does not exist.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise SeedError("the migration command cannot be understood", cause=f"{error}: {command}") from error
    if not words:
        raise SeedError("the migration command is empty", fix="mend or unset TEST_MIGRATE_COMMAND")
    shaping = paths or [project_dir / name for name in _USUAL_PATHS if (project_dir / name).exists()]
    checksum = digest_of(f"{command}\0{tree_digest(shaping, project_dir)}".encode())

    async def run(dsn: str, timeout: float) -> None:
        await _run_command(words, dsn, timeout, project_dir)

    return BuildStep(f"command: {command}", checksum, run)


async def _run_command(words: Sequence[str], dsn: str, timeout: float, project_dir: Path) -> None:
    shown = shlex.join(words)
    try:
        process = await asyncio.create_subprocess_exec(
            *words,
            cwd=project_dir,
            env=_command_environment(dsn),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        raise SeedError(
            f"the migration command cannot be started: {shown}",
            cause=str(error),
            fix="install it into this environment, or mend TEST_MIGRATE_COMMAND",
        ) from error
    try:
        async with asyncio.timeout(timeout):
            output, _ = await process.communicate()
    except TimeoutError as error:
        raise SeedError(
            f"the migration command did not end within {timeout:.1f} s: {shown}",
            fix="raise TEST_SERVICE_STARTUP_TIMEOUT",
        ) from error
    finally:
        # Whatever it left running would work on a database that is about to be sealed.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    if process.returncode:
        raise SeedError(
            f"the migration command ended with {process.returncode}: {shown}",
            cause=_tail(output, dsn),
            fix="mend the migration; the previous seed is still in place",
        )


def _command_environment(dsn: str) -> dict[str, str]:
    parts = urlsplit(dsn)
    # The seeder may run without its environment being active.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    return {
        **os.environ,
        "PATH": path,
        "DATABASE_URL": dsn,
        "TEST_DATABASE_URL": dsn,
        "PGHOST": parts.hostname or "",
        "PGPORT": str(parts.port or ""),
        "PGUSER": unquote(parts.username or ""),
        "PGPASSWORD": unquote(parts.password or ""),
        "PGDATABASE": unquote(parts.path.removeprefix("/")),
    }


def _tail(output: bytes, dsn: str) -> str:
    """The last lines, the password taken out in whatever form it may stand there."""
    text = output.decode("utf-8", "replace")
    password = urlsplit(dsn).password
    for secret in {password, unquote(password or "")} - {None, ""}:
        text = text.replace(str(secret), "***")
    lines = text.rstrip().splitlines()
    return "\n".join(["its last lines:", *(f"    {line}" for line in lines[-_SHOWN_LINES:])])


def callable_step(reference: str, project_dir: Path) -> BuildStep:
    """The function ``package.module:name`` as a step: called with the DSN, awaited when it is asynchronous.

    Its module is read for the checksum, not imported: most runs find everything seeded and never call it.

    Raises:
        SeedError: there is no such module.
    """
    module, colon, name = reference.partition(":")
    file = _find_module(module, project_dir) if module and colon and name else None
    if file is None:
        raise SeedError(
            f"the seeding function {reference!r} cannot be found",
            cause=f"no Python source for the module {module!r} in {project_dir} or on sys.path",
            fix="set TEST_SEED_CALLABLE to package.module:function",
        )

    async def run(dsn: str, timeout: float) -> None:
        del timeout  # a thread cannot be stopped; the seeding's own time limit reports it
        try:
            await _call(module, name, dsn, project_dir)
        except SeedError:
            raise
        except Exception as error:
            raise _callable_failed(reference, file, error) from error

    return BuildStep(f"function: {reference}", digest_of(reference.encode() + b"\0" + file.read_bytes()), run)


def _find_module(name: str, project_dir: Path) -> Path | None:
    search: Sequence[str] | None = [str(project_dir), *sys.path]
    spec = None
    for part in name.split("."):
        spec = PathFinder.find_spec(part, search) if search is not None else None
        if spec is None:
            return None
        search = spec.submodule_search_locations
    return Path(spec.origin) if spec and spec.origin and spec.origin.endswith(".py") else None


async def _call(module: str, name: str, dsn: str, project_dir: Path) -> None:
    with _importable(project_dir):
        target: Any = importlib.import_module(module)
        for part in name.split("."):
            target = getattr(target, part)
        result = await target(dsn) if inspect.iscoroutinefunction(target) else await asyncio.to_thread(target, dsn)
        if inspect.isawaitable(result):
            await result


@contextlib.contextmanager
def _importable(folder: Path) -> Iterator[None]:
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


def _callable_failed(reference: str, file: Path, error: Exception) -> SeedError:
    """The line is the last one of the user's own file: below it there are only drivers."""
    frames = traceback.extract_tb(error.__traceback__)
    line = next((frame.lineno for frame in reversed(frames) if Path(frame.filename) == file), None)
    return SeedError(
        f"the seeding function {reference} failed", file=file, line=line, cause=f"{type(error).__name__}: {error}"
    )
