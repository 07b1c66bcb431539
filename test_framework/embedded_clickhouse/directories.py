"""The data directory: what lies where, and how the engine is opened on it."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from test_framework.embedded_clickhouse.config import write_configuration
from test_framework.embedded_clickhouse.engine import Engine
from test_framework.embedded_clickhouse.options import Options
from test_framework.embedded_clickhouse.settings import quote_identifier
from test_framework.embedded_clickhouse.system_views import create_views
from test_framework.errors import ResourceUnavailable, ServiceUnavailable

__all__ = ["Directories", "open_engine"]


@dataclass(frozen=True, slots=True)
class Directories:
    """The parts of ``--path``. Statements can name files of ``user_files`` and run those of ``user_scripts``."""

    data: Path
    user_files: Path
    user_scripts: Path
    spool: Path
    configuration: Path

    lock: int

    @staticmethod
    def prepare(path: Path) -> Directories:
        """Create what is missing; what an earlier process spooled goes.

        Raises:
            ResourceUnavailable: it cannot be made.
            ServiceUnavailable: another process is using the directory.
        """
        try:
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise ResourceUnavailable(
                "the data directory cannot be made", where=str(path), cause=str(error), fix="choose another --path"
            ) from error
        found = Directories(
            data=path / "data",
            user_files=path / "user_files",
            user_scripts=path / "user_scripts",
            spool=path / "spool",
            configuration=path / "configuration",
            lock=_lock(path / "lock"),
        )
        shutil.rmtree(found.spool, ignore_errors=True)
        for directory in (found.data, found.user_files, found.user_scripts, found.spool, found.configuration):
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        return found


def _lock(path: Path) -> int:
    """Hold the directory for the life of this process; the engine's own lock comes too late to protect the spool."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise ServiceUnavailable(
            "another process is using the data directory",
            service="embedded-clickhouse",
            where=str(path.parent),
            cause=str(error),
            fix="one process per data directory: stop the other one or choose another --path",
        ) from error
    return descriptor


def open_engine(options: Options, directories: Directories) -> Engine:
    """Open the engine and make its catalogue look like a server's."""
    main_file = write_configuration(
        options,
        directories.configuration,
        user_files=directories.user_files,
        user_scripts=directories.user_scripts,
    )
    # Relative paths of file() are taken from the working directory of the process.
    os.chdir(directories.user_files)
    engine = Engine(directories.data, config_file=main_file, defaults={})
    try:
        _make_default_database(engine, directories.data)
        if options.database:
            engine.text(f"CREATE DATABASE IF NOT EXISTS {quote_identifier(options.database)}")
        create_views(engine)
    except BaseException:
        engine.close()
        raise
    return engine


def _make_default_database(engine: Engine, data: Path) -> None:
    """An Atomic ``default``, as a server's. At each start the engine puts one of its own over it.

    Its own also shows the host's files as tables. Attaching anew reads what earlier runs wrote: by its identity, which
    the engine does not know of any more after a restart, and with the file out of the way, which it then writes itself.
    """
    file, kept = data / "metadata" / "default.sql", data / "metadata" / "default.kept"
    if file.exists():
        file.replace(kept)
    if kept.exists():
        identity = re.search(r"UUID '([0-9a-f-]{36})'", kept.read_text("utf-8"))
        engine.text("DETACH DATABASE default")
        engine.text(f"ATTACH DATABASE default {identity.group() if identity else ''} ENGINE = Atomic")
        kept.unlink()
    elif engine.text("SELECT count() FROM system.tables WHERE database = 'default'") == "0":
        engine.text("DROP DATABASE default")
        engine.text("CREATE DATABASE default ENGINE = Atomic")
