"""Where the servers' programs are, and which version each is."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from test_framework.errors import SettingsError

__all__ = ["Binaries", "Program", "find_binaries"]

POSTGRES_MAJOR = 15
# Below 7.0 the tuned configuration is refused; 8 reads it unchanged.
REDIS_MINIMUM = (7, 0)
# Debian's own clickhouse-server is 18.16: today's clients cannot talk to it, and it cannot read our configuration.
CLICKHOUSE_MINIMUM = (23, 8)

_POSTGRES_DIRECTORIES = (
    "/usr/lib/postgresql/15/bin",  # Debian, Ubuntu
    "/usr/pgsql-15/bin",  # PostgreSQL's own packages on Fedora and Red Hat
    "/opt/homebrew/opt/postgresql@15/bin",
    "/usr/local/opt/postgresql@15/bin",
    "/home/linuxbrew/.linuxbrew/opt/postgresql@15/bin",
    "/usr/bin",  # Fedora's own package
)
_REDIS_DIRECTORIES = (
    "/usr/bin",
    "/usr/local/bin",
    "/opt/homebrew/bin",
    "/opt/homebrew/opt/redis/bin",
    "/usr/local/opt/redis/bin",
    "/home/linuxbrew/.linuxbrew/bin",
)
_CLICKHOUSE_DIRECTORIES = ("/usr/bin", "/usr/local/bin", "/opt/homebrew/bin")


@dataclass(frozen=True)
class Program:
    """A server program that was asked for its version."""

    path: Path
    version: str


@dataclass(frozen=True, kw_only=True)
class Binaries:
    """What was found; ``None`` is missing. ``rejected`` says what was found and is of the wrong version.

    Without ``clickhouse`` the embedded engine serves, when ``embedded`` says that it is installed.
    """

    postgres: Program | None
    initdb: Path | None
    redis: Program | None
    clickhouse: Program | None
    embedded: bool
    rejected: tuple[str, ...]

    @property
    def missing(self) -> tuple[str, ...]:
        """The components that must be installed before the native backend can start."""
        lacks = {
            "postgres": self.postgres is None or self.initdb is None,
            "redis": self.redis is None,
            "clickhouse": self.clickhouse is None and not self.embedded,
        }
        return tuple(name for name, lacking in lacks.items() if lacking)


def find_binaries(variables: Mapping[str, str]) -> Binaries:
    """Look on PATH and in the usual places; ``TEST_POSTGRES_BIN`` and its like name the only directory to look in."""
    rejected: list[str] = []
    postgres = _first(
        _candidates("postgres", "TEST_POSTGRES_BIN", _POSTGRES_DIRECTORIES, variables),
        lambda version: version[0] == POSTGRES_MAJOR,
        rejected,
    )
    initdb = postgres.path.resolve().parent / "initdb" if postgres else None
    return Binaries(
        postgres=postgres,
        initdb=initdb if initdb and initdb.exists() else None,
        redis=_first(
            _candidates("redis-server", "TEST_REDIS_BIN", _REDIS_DIRECTORIES, variables),
            lambda version: version >= REDIS_MINIMUM,
            rejected,
        ),
        clickhouse=_first(
            _candidates("clickhouse", "TEST_CLICKHOUSE_BIN", _CLICKHOUSE_DIRECTORIES, variables),
            lambda version: version >= CLICKHOUSE_MINIMUM,
            rejected,
        ),
        # find_spec does not import: the engine's library has more than 500 MB.
        embedded=importlib.util.find_spec("chdb") is not None,
        rejected=tuple(rejected),
    )


def _candidates(name: str, variable: str, directories: tuple[str, ...], variables: Mapping[str, str]) -> Iterator[Path]:
    if chosen := variables.get(variable):
        path = Path(chosen) / name
        if not os.access(path, os.X_OK):
            raise SettingsError(
                f"{variable} has no program {name}", where=str(path), fix=f"correct or unset {variable}"
            )
        yield path
        return
    on_path = shutil.which(name)
    paths = [Path(on_path)] if on_path else []
    paths += [Path(directory) / name for directory in directories]
    seen: set[Path] = set()
    for path in paths:
        if os.access(path, os.X_OK) and path.resolve() not in seen:
            seen.add(path.resolve())
            yield path


def _first(candidates: Iterator[Path], fits: object, rejected: list[str]) -> Program | None:
    assert callable(fits)
    for path in candidates:
        version = _version(path)
        if version and fits(tuple(int(part) for part in version.split(".")[:2])):
            return Program(path, version)
        rejected.append(f"{path} is version {version or 'unknown'}")
    return None


def _version(path: Path) -> str | None:
    try:
        answer = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r"\d+\.\d+(?:\.\d+)*", answer.stdout)
    return match.group() if match else None
