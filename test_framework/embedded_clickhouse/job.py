"""One statement on its way through the engine: connection, settings, clean-up."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from test_framework.embedded_clickhouse.engine import Connection, Engine, QueryResult
from test_framework.embedded_clickhouse.errors import ENGINE_ERRORS, READONLY, SYNTAX_ERROR, ClickHouseError, translate
from test_framework.embedded_clickhouse.kept import Kept, Place, changes_databases, leaves_nothing
from test_framework.embedded_clickhouse.marks import marked
from test_framework.embedded_clickhouse.multipart import ExternalTable
from test_framework.embedded_clickhouse.sessions import Session
from test_framework.embedded_clickhouse.settings import connect_with, quote_identifier, set_params

__all__ = ["Job", "Stats"]


#: The fields of a progress header, in a server's order.
_PROGRESS = (
    *("read_rows", "read_bytes", "written_rows", "written_bytes", "total_rows_to_read"),
    *("result_rows", "result_bytes", "elapsed_ns"),
)


#: Begins the error of a statement that is none; of a text in a statement, more stands before the colon.
_NOT_PARSED = "Syntax error: "


@dataclass(slots=True)
class Stats:
    """What the summary header and the query log report."""

    total_rows: int = 0
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
        self.total_rows = self.read_rows
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
    verb: str = ""
    #: the statement as the query log shows it
    text: bytes = b""
    #: 0 no limit, 1 reading only, 2 reading and settings
    readonly: int = 0
    roles: list[str] = field(default_factory=list)
    externals: list[ExternalTable] = field(default_factory=list)
    #: the connections that are used again
    kept: Kept | None = None
    connection: Connection | None = None
    stats: Stats = field(default_factory=Stats)
    #: how far it had come, again and again, as headers say it; kept when ``wants_progress``
    progress: list[str] = field(default_factory=list)
    wants_progress: bool = False
    #: an error that became part of the body
    error: ClickHouseError | None = None
    started: float = field(default_factory=time.time)
    _clock: int = field(default_factory=time.perf_counter_ns)
    #: where its connection may be kept
    _place: Place | None = None

    def open(self, engine: Engine) -> Connection:
        """The connection with everything on it that the request asked for.

        Raises:
            RuntimeError: the engine's error, for example an unknown setting or database.
            ClickHouseError: the statement is not allowed to this request.
        """
        readonly, self.readonly = self.readonly, 0 if self.externals and self.session is None else self.readonly
        connection = self.connection = self._connect(engine)
        for role in self.roles:
            connection.query(f"SET ROLE {quote_identifier(role)}")
        for table in self.externals:
            table.create(connection)
        if readonly != self.readonly:
            # Who may only read may still bring tables along.
            self.readonly = readonly
            connection.query(f"SET readonly = {readonly}")
        self._set_odd_params(connection)
        if self.wants_progress:
            connection.set_progress_callback(self._note_progress)
        return connection

    def marked(self, sql: bytes) -> bytes:
        """``sql`` so that it can be found and killed as this one."""
        return marked(sql, self.marker)

    def query(
        self, connection: Connection, sql: bytes, format: str = "TabSeparated", *, plain: bytes = b""
    ) -> QueryResult:
        """Run ``sql``, marked; where it is no SQL, ``plain`` without a mark, for the message that a client should see.

        Raises:
            RuntimeError: the engine's error.
        """
        try:
            return self.query_as_sent(connection, self.marked(sql), format)
        except ENGINE_ERRORS as error:
            if translate(error).code != SYNTAX_ERROR or _NOT_PARSED not in str(error):
                raise
            return self.query_as_sent(connection, plain or sql, format)

    def query_as_sent(self, connection: Connection, sql: bytes, format: str) -> QueryResult:
        """Run ``sql`` without a mark. Errors are the engine's."""
        try:
            return connection.query(sql, format, params=self.params)
        except ENGINE_ERRORS:
            if self.session is not None:
                # What a failed query had written so far would come out in front of the next result.
                connection.query("SELECT 1 FORMAT Null")
            raise

    def _note_progress(self, values: Mapping[str, int]) -> None:
        """Called by the engine every tenth of a second."""
        self.progress.append(
            "{" + ",".join(f'"{name}":"{values[name]}"' for name in _PROGRESS if values.get(name)) + "}"
        )

    def _set_odd_params(self, connection: Connection) -> None:
        """Values that are not UTF-8 cannot be handed over as text; a statement takes any bytes."""
        odd = {name: value for name, value in self.params.items() if not value.isascii() and _is_odd(value)}
        if odd:
            self.set_params(connection, odd)
            self.params = {name: value for name, value in self.params.items() if name not in odd}

    def set_params(self, connection: Connection, params: Mapping[str, str]) -> None:
        """Put parameters on the connection, where they stay; those given with a statement do not."""
        self._place = None
        connection.query(set_params(params))

    def _connect(self, engine: Engine) -> Connection:
        if self.session is None:
            settings = {**self.settings, "readonly": str(self.readonly)} if self.readonly else self.settings
            return self._take(settings) or connect_with(engine, database=self.database, settings=settings)
        if self.bare:
            self.session.restore()
            connection = self.session.prepare(engine, database="", settings={})
        else:
            connection = self.session.prepare(engine, database=self.database, settings=self.settings)
        if self.readonly:
            self._hold_to_reading(connection)
        return connection

    def _take(self, settings: Mapping[str, str]) -> Connection | None:
        """A kept connection, for a request that puts nothing more on it."""
        if self.kept is None or self.roles or self.externals or not leaves_nothing(self.verb, self.text):
            return None
        self._place = self.kept.place(self.database, settings)
        return self.kept.take(self._place)

    def _hold_to_reading(self, connection: Connection) -> None:
        """In a session the engine's own setting could not be taken off again, so the statement is looked at."""
        if self.readonly == 2 and self.verb in ("SET", "USE"):
            return
        if connection.classify_query(self.sql)["query_class"].name != "READ_ONLY":
            raise ClickHouseError(READONLY, "READONLY", "default: Cannot execute query in readonly mode")

    def finish(self) -> None:
        """Stop the clock, once."""
        if not self.stats.elapsed_ns:
            self.stats.elapsed_ns = self.lasted()

    def lasted(self) -> int:
        """Nanoseconds since it began."""
        return time.perf_counter_ns() - self._clock

    def close(self, *, well: bool = False) -> None:
        """Close a connection of its own, or keep it for others; a session keeps its.

        Args:
            well: the statement has ended and left nothing to be fetched.
        """
        connection, self.connection = self.connection, None
        if connection is None:
            return
        if self.kept is not None and changes_databases(self.verb, self.text):
            self.kept.forget()
        if self.wants_progress:
            connection.set_progress_callback()
        tables, self.externals = self.externals, []
        if self.session is None and well and self.kept is not None and self._place is not None:
            self.kept.give(self._place, connection)
            return
        if self.session is None:
            connection.close()
            return
        for table in tables:
            table.drop(connection)


def _is_odd(value: str) -> bool:
    """Whether the text stands for bytes that are not UTF-8."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return True
    return False
