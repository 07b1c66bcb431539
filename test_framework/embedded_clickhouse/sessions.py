"""Sessions: connections that outlive a request, by the ``session_id`` a client gives.

A session keeps its own settings, current database and temporary tables. What comes in the URL holds for one request
only, in a session too: it is put on lazily and taken off again before the next request that wants something else.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from test_framework.embedded_clickhouse.engine import Connection, Engine
from test_framework.embedded_clickhouse.errors import ClickHouseError
from test_framework.embedded_clickhouse.settings import connect_with, quote_identifier, quote_string, set_statement

__all__ = ["Session", "Sessions"]


@dataclass(slots=True)
class Session:
    """One session. Its methods run in a worker thread, one at a time.

    Attributes:
        busy: a request is using it; guarded by the event loop, which alone takes and gives back.
        expires: monotonic time after which it is closed when idle.
        applied: request settings that are on the connection now.
        own: the values those had before.
        timezone: the one that the session's statements chose.
    """

    key: tuple[str, str]
    busy: bool = True
    expires: float = 0.0
    connection: Connection | None = None
    applied: dict[str, str] = field(default_factory=dict)
    own: dict[str, str] = field(default_factory=dict)
    applied_database: str = ""
    own_database: str = ""
    timezone: str = ""

    def prepare(self, engine: Engine, *, database: str, settings: Mapping[str, str]) -> Connection:
        """Bring the connection to what one request wants: the session's own state under the request's."""
        connection = self.connection
        if connection is None:
            connection = self.connection = connect_with(engine, database="", settings={})
        self._switch_database(connection, database)
        wanted = dict(settings)
        if wanted != self.applied:
            self._restore(connection)
            self._put_on(connection, wanted)
        return connection

    def note_timezone(self, connection: Connection) -> None:
        """Remember the time zone after a statement that may have set it."""
        self.timezone = connection.query("SELECT timezone()", "TabSeparatedRaw").bytes().decode()[:-1]

    def restore(self) -> None:
        """Take the request's settings and database off, before a statement that changes the session's own."""
        if self.connection is not None:
            self._restore(self.connection)
            self._switch_database(self.connection, "")

    def close(self) -> None:
        """Close the connection; its temporary tables are gone."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def _put_on(self, connection: Connection, wanted: dict[str, str]) -> None:
        if not wanted:
            return
        statement = set_statement(wanted.items())
        names = ", ".join(quote_string(name) for name in wanted)
        sql = f"SELECT name, value FROM system.settings WHERE name IN ({names})"  # noqa: S608 - quoted above
        rows = connection.query(sql, "TabSeparatedRaw").bytes()
        self.own = dict(line.split("\t", 1) for line in rows.decode("utf-8", "surrogateescape").split("\n") if line)
        connection.query(statement)
        self.applied = wanted

    def _restore(self, connection: Connection) -> None:
        back = {name: self.own[name] for name in self.applied if name in self.own}
        self.applied = {}
        if back:
            connection.query(set_statement(back.items()))

    def _switch_database(self, connection: Connection, wanted: str) -> None:
        if wanted == self.applied_database:
            return
        if not self.applied_database:
            self.own_database = connection.query("SELECT currentDatabase()", "TabSeparatedRaw").bytes().decode()[:-1]
        connection.query(f"USE {quote_identifier(wanted or self.own_database)}")
        self.applied_database = wanted


class Sessions:
    """All sessions of the endpoint, by user and id. Used from the event loop only."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._sessions: dict[tuple[str, str], Session] = {}

    def take(self, user: str, session_id: str, *, check: bool) -> Session:
        """The session, marked busy; a new one if there is none.

        Raises:
            ClickHouseError: another request is using it (373), or it must exist and does not (372).
        """
        key = (user, session_id)
        session = self._sessions.get(key)
        if session is None:
            if check:
                raise ClickHouseError(372, "SESSION_NOT_FOUND", f"Session {session_id} not found")
            session = self._sessions[key] = Session(key)
        elif session.busy:
            raise ClickHouseError(373, "SESSION_IS_LOCKED", f"Session {session_id} is locked by a concurrent client")
        session.busy = True
        return session

    def give_back(self, session: Session, *, timeout: float, close: bool) -> Session | None:
        """Unlock it. Returns the session when it is over and must be closed by the caller."""
        session.busy = False
        session.expires = self._clock() + timeout
        if close:
            return self._sessions.pop(session.key, None)
        return None

    def expired(self) -> list[Session]:
        """Remove and return the idle sessions whose time is over."""
        now = self._clock()
        over = [session for session in self._sessions.values() if not session.busy and session.expires <= now]
        for session in over:
            del self._sessions[session.key]
        return over

    def drain(self) -> list[Session]:
        """Remove and return all of them, at the end."""
        sessions = list(self._sessions.values())
        self._sessions.clear()
        return sessions
