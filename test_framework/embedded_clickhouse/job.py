"""One statement on its way through the engine: connection, settings, clean-up."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from test_framework.embedded_clickhouse.engine import Connection, Engine, QueryResult
from test_framework.embedded_clickhouse.sessions import Session
from test_framework.embedded_clickhouse.settings import connect_with

__all__ = ["Job", "Stats"]


@dataclass(slots=True)
class Stats:
    """What the summary header and the query log report."""

    read_rows: int = 0
    read_bytes: int = 0
    written_rows: int = 0
    written_bytes: int = 0
    result_rows: int = 0
    result_bytes: int = 0
    elapsed_ns: int = 0

    def add_read(self, result: QueryResult) -> None:
        """Add what a select read."""
        self.read_rows += result.storage_rows_read()
        self.read_bytes += result.storage_bytes_read()

    def set_written(self, result: QueryResult) -> None:
        """Take what an insert wrote. The server counts written rows as read and as result rows, too."""
        self.written_rows = self.result_rows = result.rows_written()
        self.written_bytes = self.result_bytes = result.bytes_written()
        self.read_rows = max(self.read_rows, self.written_rows)
        self.read_bytes = max(self.read_bytes, self.written_bytes)


@dataclass(slots=True)
class Job:
    """A statement, where it runs, and what became of it.

    ``open`` and ``close`` run in a worker thread.
    """

    query_id: str
    user: str
    marker: str
    database: str
    settings: Mapping[str, str]
    params: dict[str, str]
    sql: bytes = b""
    session: Session | None = None
    #: the statement changes the session's own settings or database, so nothing of the request may lie above them
    bare: bool = False
    connection: Connection | None = None
    stats: Stats = field(default_factory=Stats)
    started: float = field(default_factory=time.time)
    _clock: int = field(default_factory=time.perf_counter_ns)

    def open(self, engine: Engine) -> Connection:
        """The connection with everything on it that the request asked for."""
        if self.session is None:
            self.connection = connect_with(engine, database=self.database, settings=self.settings, marker=self.marker)
            return self.connection
        if self.bare:
            self.session.restore()
            settings: Mapping[str, str] = {}
            database = ""
        else:
            settings, database = self.settings, self.database
        self.connection = self.session.prepare(engine, database=database, settings=settings, marker=self.marker)
        return self.connection

    def finish(self) -> None:
        """Stop the clock."""
        self.stats.elapsed_ns = time.perf_counter_ns() - self._clock

    def close(self) -> None:
        """Close a connection of its own; a session keeps its."""
        connection, self.connection = self.connection, None
        if connection is not None and self.session is None:
            connection.close()
