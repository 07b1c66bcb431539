"""``system.query_log`` and ``system.session_log``: the embedded engine keeps none, so the endpoint does.

What finishes is remembered in memory; the rows are written to a Memory table when a statement reads it.
"""

from __future__ import annotations

import json
import time
from collections import deque
from typing import Any, NamedTuple

from test_framework.embedded_clickhouse.engine import Engine
from test_framework.embedded_clickhouse.errors import ClickHouseError
from test_framework.embedded_clickhouse.guard import mentions_table
from test_framework.embedded_clickhouse.job import Job

__all__ = ["ClientInfo", "QueryLog"]

_TABLES = {
    "query_log": """
    hostname LowCardinality(String), type Enum8('QueryStart' = 1, 'QueryFinish' = 2, 'ExceptionBeforeStart' = 3,
    'ExceptionWhileProcessing' = 4), event_date Date, event_time DateTime, event_time_microseconds DateTime64(6),
    query_start_time DateTime, query_start_time_microseconds DateTime64(6), query_duration_ms UInt64, read_rows UInt64,
    read_bytes UInt64, written_rows UInt64, written_bytes UInt64, result_rows UInt64, result_bytes UInt64,
    memory_usage UInt64, current_database LowCardinality(String), query String,
    formatted_query String ALIAS formatQueryOrNull(query),
    normalized_query_hash UInt64 MATERIALIZED normalizedQueryHash(query),
    query_kind LowCardinality(String), databases Array(LowCardinality(String)), tables Array(LowCardinality(String)),
    columns Array(LowCardinality(String)), exception_code Int32, exception String, stack_trace String,
    is_initial_query UInt8, user LowCardinality(String), query_id String, address IPv6, port UInt16,
    initial_user LowCardinality(String), initial_query_id String, initial_address IPv6, initial_port UInt16,
    interface UInt8, http_method UInt8, http_user_agent LowCardinality(String), http_referer String,
    forwarded_for String, quota_key String, log_comment String, ProfileEvents Map(LowCardinality(String), UInt64),
    Settings Map(LowCardinality(String), LowCardinality(String))""",
    "session_log": """
    hostname LowCardinality(String), type Enum8('LoginFailure' = 0, 'LoginSuccess' = 1, 'Logout' = 2),
    auth_id UUID, session_id String, event_date Date, event_time DateTime, event_time_microseconds DateTime64(6),
    user Nullable(String), auth_type Nullable(String), client_address IPv6, client_port UInt16,
    interface LowCardinality(String), client_name String, failure_reason String""",
}
_KINDS = {"WITH": "Select", "FROM": "Select", "(": "Select", "DESC": "Describe", "USE": "Use"}


def _of_query(job: Job, client: ClientInfo, verb: str) -> dict[str, Any]:
    """What the rows of a statement's start and end have in common."""
    return {
        **_times(job.started, "query_start_time"),
        "current_database": job.database or "default",
        "query": job.text.decode("utf-8", "replace"),
        "query_kind": _KINDS.get(verb, verb.capitalize()),
        "is_initial_query": 1,
        "user": job.user,
        "initial_user": job.user,
        "query_id": job.query_id,
        "initial_query_id": job.query_id,
        "address": client.address,
        "initial_address": client.address,
        "port": client.port,
        "initial_port": client.port,
        "interface": 2,
        "http_method": {"GET": 1, "POST": 2}.get(client.method, 0),
        "http_user_agent": client.user_agent,
        "http_referer": client.referer,
        "forwarded_for": client.forwarded_for,
        "log_comment": job.settings.get("log_comment", ""),
        "Settings": dict(job.settings),
    }


class ClientInfo(NamedTuple):
    """Where a request came from."""

    address: str
    port: int
    method: str
    user_agent: str = ""
    referer: str = ""
    forwarded_for: str = ""


#: Bytes of a statement that are remembered, as a server's ``log_queries_cut_to_length``.
_CUT = 100_000
_Ended = tuple[Job, ClientInfo, str, ClickHouseError | None, float]


class QueryLog:
    """Remembers and writes out. ``add`` runs in the event loop, ``flush`` in worker threads.

    Args:
        keep: rows remembered, and kept in the tables, at most.
    """

    def __init__(self, engine: Engine, *, keep: int) -> None:
        self._keep = max(2, keep)
        self._ended: deque[_Ended] = deque(maxlen=self._keep)
        self._rows: dict[str, deque[dict[str, object]]] = {name: deque(maxlen=self._keep) for name in _TABLES}
        for name, columns in _TABLES.items():
            engine.text(
                f"CREATE TABLE system.{name} ({columns}) ENGINE = Memory "
                f"SETTINGS min_rows_to_keep = {self._keep // 2}, max_rows_to_keep = {self._keep}"
            )

    def add_login(self, client: ClientInfo, *, user: str, session_id: str, failure: str = "") -> None:
        """Remember one login."""
        self._rows["session_log"].append(
            {
                **_times(time.time()),
                "type": "LoginFailure" if failure else "LoginSuccess",
                "session_id": session_id,
                "user": user,
                "auth_type": "SHA256_PASSWORD",
                "client_address": client.address,
                "client_port": client.port,
                "interface": "HTTP",
                "client_name": client.user_agent,
                "failure_reason": failure,
            }
        )

    def add_query(self, job: Job, client: ClientInfo, *, verb: str, error: ClickHouseError | None) -> None:
        """Remember one statement that has ended: its start, and its end."""
        if job.settings.get("log_queries") != "0":
            # Rows are made when somebody reads them; most never are.
            job.text, job.sql = job.text[:_CUT], b""
            self._ended.append((job, client, verb, error, time.time()))

    def _query_rows(self, ended: _Ended) -> None:
        job, client, verb, error, now = ended
        stats, common = job.stats, _of_query(job, client, verb)
        end = {
            **common,
            **_times(now),
            "type": "QueryFinish",
            "query_duration_ms": stats.elapsed_ns // 1_000_000,
            "read_rows": stats.read_rows,
            "read_bytes": stats.read_bytes,
            "written_rows": stats.written_rows,
            "written_bytes": stats.written_bytes,
            "result_rows": stats.result_rows,
            "result_bytes": stats.result_bytes,
        }
        rows = self._rows["query_log"]
        if error is None:
            rows.append({**common, **_times(job.started), "type": "QueryStart"})
        else:
            end |= {"type": "ExceptionBeforeStart", "exception_code": error.code, "exception": str(error)}
            if stats.result_bytes or stats.written_rows:
                rows.append({**common, **_times(job.started), "type": "QueryStart"})
                end["type"] = "ExceptionWhileProcessing"
        rows.append(end)

    def wanted(self, sql: bytes) -> list[str]:
        """The log tables that a statement reads."""
        if b"_log" not in sql:
            return []
        return [name for name in _TABLES if mentions_table(sql, "system", name) or mentions_table(sql, "", name)]

    def flush(self, engine: Engine, names: list[str]) -> None:
        """Write what is remembered to the tables."""
        while self._ended:
            self._query_rows(self._ended.popleft())
        for name in names:
            rows = self._rows[name]
            lines = []
            while rows:
                lines.append(json.dumps(rows.popleft()))
            if lines:
                connection = engine.connect({"input_format_skip_unknown_fields": "1"})
                try:
                    handle = connection.send_insert(f"INSERT INTO system.{name}", "JSONEachRow")
                    connection.insert_append(handle, "\n".join(lines).encode("utf-8", "replace"))
                    connection.insert_done(handle)
                finally:
                    connection.close()


def _times(seconds: float, name: str = "event_time") -> dict[str, object]:
    whole = int(seconds)
    times: dict[str, object] = {name: whole, f"{name}_microseconds": f"{seconds:.6f}"}
    if name == "event_time":
        times["event_date"] = time.strftime("%Y-%m-%d", time.gmtime(seconds))
    return times
