"""What to do with a statement: check it, and choose where its bytes go to and come from."""

from __future__ import annotations

import re
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

from test_framework.embedded_clickhouse.engine import Engine
from test_framework.embedded_clickhouse.errors import ClickHouseError
from test_framework.embedded_clickhouse.guard import forbidden
from test_framework.embedded_clickhouse.job import Job
from test_framework.embedded_clickhouse.lexer import QUOTED, WORD, identifier_text, tokens
from test_framework.embedded_clickhouse.native_output import NativePatch
from test_framework.embedded_clickhouse.registry import Registry
from test_framework.embedded_clickhouse.request import QueryRequest
from test_framework.embedded_clickhouse.results import BufferedSource, DocumentSource, NativeSource, Source
from test_framework.embedded_clickhouse.rewrite import rewrite_query_ids, with_outfile
from test_framework.embedded_clickhouse.statement import Kind, Statement, split_statement

__all__ = ["PROCESSES_VIEW", "Planner", "by_client_ids"]

_FORMAT = re.compile(r"[A-Za-z0-9_]+\Z")
#: Without one of these nothing in a statement can be forbidden; the look at its tokens is saved for nearly all.
_SUSPECT = re.compile(
    rb"(?i)system|outfile|infile|file|url|sqlite|local|executable|odbc|jdbc|python|lake|iceberg|hudi|paimon|rocksdb"
    rb"|catboost|disk|backup|restore|hdfs|hive|/"
)
#: A view in the database ``system``, made at start.
PROCESSES_VIEW = b"processes_by_client"
_SELECTS = frozenset({"SELECT", "WITH", "FROM", "("})


@dataclass(frozen=True, slots=True)
class Planner:
    """Chooses how a statement runs."""

    engine: Engine
    executor: Executor
    registry: Registry
    spool: Path
    user_files: Path

    def check(self, statement: Statement) -> None:
        """Refuse what a server refuses and the engine would do.

        Raises:
            ClickHouseError: two statements, none, or one that leaves the endpoint's directories.
        """
        if statement.second is not None:
            raise ClickHouseError(
                62,
                "SYNTAX_ERROR",
                "Syntax error (Multi-statements are not allowed): "
                f"failed at position {statement.end - statement.start + 1} (end of query)",
            )
        if statement.kind is Kind.EMPTY:
            raise ClickHouseError(62, "SYNTAX_ERROR", "Syntax error: failed at position 1 (end of query)")
        text = statement.insert.head if statement.insert and not statement.insert.has_select else statement.text
        if statement.verb == "SET" and b"ROLE" in text[:12].upper():
            return
        if _SUSPECT.search(text):
            refusal = forbidden(text, files=self.user_files)
            if refusal is not None:
                raise ClickHouseError(refusal.code, refusal.name, refusal.message)

    def output_format(self, statement: Statement, query: QueryRequest) -> str:
        """The format of the answer.

        Raises:
            ClickHouseError: UNKNOWN_FORMAT for what cannot be a name.
        """
        name = statement.format or query.default_format or "TabSeparated"
        if not _FORMAT.match(name):
            raise ClickHouseError(73, "UNKNOWN_FORMAT", f"Unknown format {name}")
        return name

    def source(self, job: Job, statement: Statement, query: QueryRequest) -> Source:
        """Where the bytes of the answer come from. The query starts with this call or at the first read."""
        statement = _by_client_ids(statement)
        name = self.output_format(statement, query)
        revision = query.revision if name == "Native" else 0
        if statement.verb in _SELECTS and statement.has_output:
            if name == "Native":
                patch = NativePatch(job, revision) if revision else None
                return NativeSource(job, self.engine, self.executor, patch=patch)
            suffix = b"" if statement.format else b"\nFORMAT " + name.encode()
            return DocumentSource(
                job,
                self.engine,
                self.executor,
                spool=self.spool,
                statement=lambda path: with_outfile(statement, path) + suffix,
            )
        return self._buffered(job, statement, name, revision)

    def _buffered(self, job: Job, statement: Statement, name: str, revision: int) -> Source:
        sql = statement.text
        if statement.verb == "KILL":
            sql = rewrite_query_ids(sql, self.registry.marker, setting=self.engine.marker)

        def run() -> bytes:
            try:
                connection = job.open(self.engine)
                result = connection.query(sql, name, params=job.params)
                if statement.kind is Kind.BROKEN:
                    raise ClickHouseError(62, "SYNTAX_ERROR", "Syntax error: the INSERT has no data and no SELECT")
                if statement.kind is Kind.INSERT:
                    job.stats.add_read(result)
                    job.stats.set_written(result)
                if not statement.has_output:
                    return b""
                job.stats.result_rows = result.rows_read()
                data = result.bytes()
                return NativePatch(job, revision)(data, -1, connection) if revision else data
            finally:
                job.finish()
                job.close()

        return BufferedSource(run, self.executor)


def _by_client_ids(statement: Statement) -> Statement:
    text = by_client_ids(statement.text)
    return split_statement(text) if PROCESSES_VIEW in text else statement


def by_client_ids(sql: bytes) -> bytes:
    """``system.processes`` exchanged for the view of it that shows the clients' query ids."""
    if b"processes" not in sql:
        return sql
    parts, done, seen = [], 0, [b"", b""]
    for token in tokens(sql):
        text = identifier_text(sql, token) if token[0] in (WORD, QUOTED) else sql[token[1] : token[2]]
        if text == b"processes" and seen == [b"system", b"."]:
            parts.append(sql[done : token[1]] + PROCESSES_VIEW)
            done = token[2]
        seen = [seen[1], text]
    return b"".join([*parts, sql[done:]])
