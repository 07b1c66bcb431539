"""Facts of files that were read before, by the hash of their content. A broken cache is an empty one."""

from __future__ import annotations

import hashlib
import sqlite3
import sys
import zlib
from collections.abc import Iterable, Mapping
from contextlib import closing, suppress
from pathlib import Path

import platformdirs

from test_framework.migration.facts import FileFacts, from_json, to_json

__all__ = ["Cache", "default_folder", "key_of"]

CAPACITY = 60_000
"""Files remembered; the oldest go first."""
BATCH = 500


def default_folder() -> Path:
    """Where the user's caches lie on this system."""
    return Path(platformdirs.user_cache_dir("test-framework", appauthor=False)) / "migration"


def key_of(source: bytes, *, is_test: bool, version: str, extra: str = "") -> str:
    """The name of a file's facts: other content, other rules or other surroundings are another name."""
    digest = hashlib.blake2b(source, digest_size=16)
    grammar = f"{sys.version_info.major}.{sys.version_info.minor}"  # what parses there may not parse here
    digest.update(f"\0{version}\0{grammar}\0{is_test}\0{extra}".encode())
    return digest.hexdigest()


class Cache:
    """Facts by key, in one SQLite file; several scans may use it at once.

    Nothing here raises for the state of the file or the disk: then the cache finds nothing and keeps nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self.file = None if folder is None else folder / "scan.sqlite3"

    def find(self, keys: Iterable[str]) -> dict[str, FileFacts]:
        """The facts that are known, by key."""
        wanted = list(dict.fromkeys(keys))
        if self.file is None or not self.file.exists() or not wanted:
            return {}
        found: dict[str, FileFacts] = {}
        try:
            with closing(self._open()) as database:
                for start in range(0, len(wanted), BATCH):
                    part = wanted[start : start + BATCH]
                    marks = ",".join("?" * len(part))
                    rows = database.execute(f"SELECT key, facts FROM facts WHERE key IN ({marks})", part)  # noqa: S608 - ? only
                    for key, packed in rows:
                        with suppress(ValueError, TypeError, KeyError, zlib.error):
                            found[key] = from_json(zlib.decompress(packed).decode())
        except (sqlite3.Error, OSError):
            return found
        return found

    def keep(self, facts: Mapping[str, FileFacts]) -> None:
        """Remember these, and forget the oldest when there are too many."""
        if self.file is None or not facts:
            return
        try:
            self._write(facts)
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                return  # busy, read-only, full: not broken
            with suppress(OSError, sqlite3.Error):
                self.file.unlink(missing_ok=True)
                self._write(facts)
        except OSError:
            return

    def _open(self) -> sqlite3.Connection:
        assert self.file is not None
        return sqlite3.connect(self.file, timeout=2)

    def _write(self, facts: Mapping[str, FileFacts]) -> None:
        assert self.file is not None
        self.file.parent.mkdir(parents=True, exist_ok=True)
        rows = [(key, zlib.compress(to_json(one).encode(), 1)) for key, one in facts.items()]
        with closing(self._open()) as database, database:
            database.execute(
                "CREATE TABLE IF NOT EXISTS facts (number INTEGER PRIMARY KEY, key TEXT UNIQUE, facts BLOB)"
            )
            database.executemany("INSERT OR REPLACE INTO facts (key, facts) VALUES (?, ?)", rows)
            database.execute("DELETE FROM facts WHERE number <= (SELECT max(number) FROM facts) - ?", (CAPACITY,))
