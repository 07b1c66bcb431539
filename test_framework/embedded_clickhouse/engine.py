"""The engine itself: loading it, opening its one data directory, connections.

One process holds one engine on one directory. Any number of connections run side by side; each has its own settings,
current database and temporary tables, and costs a tenth of a millisecond. So every request without a session gets a
fresh one, and nothing a request does to its settings can reach another request.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.metadata
import importlib.util
import os
import re
import sys
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, cast

from test_framework.errors import BackendUnavailable, ServiceUnavailable

__all__ = ["Connection", "Engine", "QueryResult", "ResultMemory", "safe_option"]

#: Give freed memory back within half a second, by a thread of the allocator, and not only when the engine next works.
_ALLOCATOR = "background_thread:true,dirty_decay_ms:500,muzzy_decay_ms:0"

_SAFE = re.compile(r"[A-Za-z0-9_.:-]+\Z")


class ResultMemory(Protocol):
    """Keeps the memory of a result; the view of it does not."""

    def view(self) -> memoryview[int]: ...


class QueryResult(Protocol):
    """What the engine returns for a query."""

    def bytes(self) -> bytes: ...
    def get_memview(self) -> ResultMemory: ...
    def size(self) -> int: ...
    def rows_read(self) -> int: ...
    def rows_written(self) -> int: ...
    def bytes_written(self) -> int: ...
    def storage_rows_read(self) -> int: ...
    def storage_bytes_read(self) -> int: ...


class Connection(Protocol):
    """The engine's own connection object, as far as it is used here."""

    def query(self, query_str: bytes | str, format: str = ..., *, params: dict[str, str] = ...) -> QueryResult: ...
    def send_query(self, query_str: bytes | str, format: str = ..., *, params: dict[str, str] = ...) -> object: ...
    def streaming_fetch_result(self, streaming_result: object) -> QueryResult | None: ...
    def streaming_cancel_query(self, streaming_result: object) -> None: ...
    def send_insert(self, query_str: bytes | str, format: str = ...) -> object: ...
    def insert_append(self, insert_result: object, data: bytes) -> None: ...
    def insert_done(self, insert_result: object) -> QueryResult: ...
    def insert_cancel(self, insert_result: object) -> None: ...
    def set_progress_callback(self, callback: object = ...) -> None: ...
    def classify_query(self, sql: bytes | str, target_database: str = ...) -> dict[str, Any]: ...
    def close(self) -> None: ...


def safe_option(value: str) -> bool:
    """Whether a value can be given in the connection string, which knows no quoting."""
    return _SAFE.match(value) is not None


def _load() -> tuple[Any, str]:
    """The engine's module and the version of its package.

    The package's own ``__init__`` opens and closes a whole engine in memory, a quarter of a second; so the module is
    loaded without it.
    """
    spec = importlib.util.find_spec("chdb")
    if spec is None or not spec.submodule_search_locations:
        raise BackendUnavailable(
            "the embedded ClickHouse engine is not installed",
            where="module chdb",
            fix='pip install "real-service-test-framework[embedded]"',
        )
    folder = Path(next(iter(spec.submodule_search_locations)))
    package = types.ModuleType("chdb")
    package.__path__ = [str(folder)]
    sys.modules["chdb"] = package
    os.environ.setdefault("JE_MALLOC_CONF", _ALLOCATOR)
    here = Path.cwd()
    # The library finds its own parts by the working directory.
    os.chdir(folder)
    try:
        if sys.platform == "linux":
            # Its allocator must not be exchanged for that of a library loaded earlier (RTLD_DEEPBIND = 8).
            ctypes.CDLL(str(folder / "_chdb.abi3.so"), mode=sys.getdlopenflags() | 8)
        return importlib.import_module("chdb._chdb"), importlib.metadata.version("chdb-core")
    except (ImportError, OSError) as error:
        raise BackendUnavailable(
            "the embedded ClickHouse engine cannot be loaded",
            where=str(folder),
            cause=str(error),
            fix='pip install --force-reinstall "real-service-test-framework[embedded]"',
        ) from error
    finally:
        os.chdir(here)


class Engine:
    """The engine on one data directory.

    Args:
        path: data directory, created if missing.
        config_file: generated server configuration in XML.
        defaults: settings every connection starts with.

    Raises:
        BackendUnavailable: chdb-core is not installed.
        ServiceUnavailable: the directory cannot be opened, for example because another process holds it.
    """

    def __init__(self, path: Path, *, config_file: Path, defaults: Mapping[str, str]) -> None:
        self._native, self.package_version = _load()
        # With its handlers a crashed engine stays as a process that answers nothing; without them it ends, and whoever
        # watches over it starts another.
        self._native.set_signal_handlers_enabled(False)
        options = {
            "implicit_select": "0",
            "chdb_client_name": f"embedded engine chdb-core {self.package_version}",
            **defaults,
        }
        self._base = f"{path}?" + "&".join(f"{key}={value}" for key, value in options.items())
        try:
            self.root: Connection = self._native.connect(f"{self._base}&config-file={config_file}")
        except RuntimeError as error:
            raise ServiceUnavailable(
                "the embedded ClickHouse does not start",
                service="embedded-clickhouse",
                where=str(path),
                cause=str(error),
                fix="one process per data directory: stop the other one or choose another --path",
            ) from error
        self.version = self.text("SELECT version()")
        self.timezone = self.text("SELECT timezone()")
        self.display_name = self.text("SELECT displayName()")
        # The short read of a list that never changes; asking for it per request would cost milliseconds.
        self.setting_names = frozenset(self.text("SELECT name FROM system.settings").split("\n"))

        columns = "SELECT name FROM system.columns WHERE database = 'system' AND table = 'processes'"
        self.process_columns = frozenset(self.text(columns).split("\n"))

    def text(self, sql: str) -> str:
        """Run a statement of ours on the root connection; its TSV output without the last line end."""
        return self.root.query(sql, "TabSeparated").bytes().decode().rstrip("\n")

    def connect(self, options: Mapping[str, str]) -> Connection:
        """A connection with these settings on top of the defaults. Values must be ``safe_option``.

        Raises:
            RuntimeError: the engine's own error text, for example code 81 for an unknown database.
        """
        suffix = "".join(f"&{key}={value}" for key, value in options.items())
        return cast("Connection", self._native.connect(self._base + suffix))

    def close(self) -> None:
        """Close the last connection; the engine then writes everything out."""
        self.root.close()
