"""What to do with a statement: check it, and choose where its bytes go to and come from."""

from __future__ import annotations

import re
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from test_framework.embedded_clickhouse.bodies import StatementBody
from test_framework.embedded_clickhouse.engine import Engine
from test_framework.embedded_clickhouse.errors import SYNTAX_ERROR, ClickHouseError
from test_framework.embedded_clickhouse.file_settings import check_file_settings
from test_framework.embedded_clickhouse.guard import forbidden
from test_framework.embedded_clickhouse.hops import Hops
from test_framework.embedded_clickhouse.inserts import insert_source
from test_framework.embedded_clickhouse.job import Job
from test_framework.embedded_clickhouse.kept import Kept
from test_framework.embedded_clickhouse.kills import Kill
from test_framework.embedded_clickhouse.lexer import tokens
from test_framework.embedded_clickhouse.native import BlockRewriter
from test_framework.embedded_clickhouse.native_output import NativeStream, may_be_wide
from test_framework.embedded_clickhouse.pipes import PipePool
from test_framework.embedded_clickhouse.positions import empty_query, second_statement
from test_framework.embedded_clickhouse.registry import Registry
from test_framework.embedded_clickhouse.remembering import remembering
from test_framework.embedded_clickhouse.request import QueryRequest
from test_framework.embedded_clickhouse.results import BufferedSource, DocumentSource, NativeSource, Source
from test_framework.embedded_clickhouse.rewrite import as_client, with_outfile
from test_framework.embedded_clickhouse.row_output import is_row_wise, row_stream
from test_framework.embedded_clickhouse.statement import Kind, Statement, split_statement
from test_framework.embedded_clickhouse.system_views import with_views

__all__ = ["Planner"]

_FORMAT = re.compile(r"[A-Za-z0-9_]+\Z")
#: Without one of these nothing in a statement can be forbidden; the look at its tokens is saved for nearly all.
_SUSPECT = re.compile(
    rb"(?i)system|outfile|infile|file|url|sqlite|local|executable|odbc|jdbc|python|lake|iceberg|hudi|paimon|rocksdb"
    rb"|catboost|disk|backup|restore|hdfs|hive|/"
)
_KILL_QUERY = re.compile(rb"(?i)kill\s+query\b")
#: Words that the engine takes for commands of the client program, and obeys silently.
_NOT_SQL = frozenset({"EXIT", "QUIT", "LOGOUT", "Q", "\\", ":", ""})
_SELECTS = frozenset({"SELECT", "WITH", "FROM", "("})
#: Without one of these a SELECT gives a single row, as the questions do that clients ask first: no need for a stream.
_ROWS = re.compile(rb"(?i)from|join|unnest")


@dataclass(frozen=True, slots=True)
class Planner:
    """Chooses how a statement runs."""

    engine: Engine
    executor: Executor
    registry: Registry
    spool: Path
    pipes: PipePool
    user_files: Path
    kept: Kept = field(default_factory=Kept)

    def check(self, statement: Statement, query: QueryRequest) -> None:
        """Refuse what a server refuses and the engine would do.

        Raises:
            ClickHouseError: two statements, none, or one that leaves the endpoint's directories.
        """
        if statement.second is not None:
            raise second_statement(statement)
        if statement.kind is Kind.EMPTY:
            raise empty_query()
        text = statement.insert.head if statement.insert and not statement.insert.has_select else statement.text
        check_file_settings(text, query.settings, files=self.user_files)
        if statement.verb == "SET" and b"ROLE" in text[:12].upper():
            return
        if _SUSPECT.search(text):
            if _makes_a_disk(text):
                raise ClickHouseError(497, "ACCESS_DENIED", "Disks cannot be made by statements of the embedded engine")
            refusal = forbidden(text, files=self.user_files)
            if refusal is not None:
                raise ClickHouseError(refusal.code, refusal.name, refusal.message)

    def output_format(self, statement: Statement, query: QueryRequest) -> str:
        """The format of the answer.

        Raises:
            ClickHouseError: UNKNOWN_FORMAT for what cannot be a name.
        """
        name = query.output_format or statement.format or query.default_format or "TabSeparated"
        if not _FORMAT.match(name):
            raise ClickHouseError(73, "UNKNOWN_FORMAT", f"Unknown format {name}")
        return name

    def source(self, job: Job, body: StatementBody, query: QueryRequest) -> Source:
        """Where the bytes of the answer come from. The query starts with this call or at the first read."""
        hops = Hops(self.executor, lambda: self.registry.kill(job.marker))
        job.kept = self.kept
        insert = body.statement.insert
        if insert is not None and insert.data_offset is not None:
            data_format = query.input_format or insert.format or query.default_format or "TabSeparated"
            return insert_source(job, self.engine, hops, format=data_format, body=body, spool=self.spool)
        statement = _as_seen_by(job, with_views(body.statement, self.engine.process_columns))
        name = self.output_format(statement, query)
        revision = query.revision if name == "Native" else 0
        plain = body.statement.text
        if statement.verb not in _SELECTS or not statement.has_output:
            return self._buffered(job, statement, name, plain=plain, hops=hops, revision=revision)
        if not revision and not _ROWS.search(statement.text):
            return self._buffered(job, statement, name, plain=plain, hops=hops)
        as_sent = partial(job.query_as_sent, sql=plain, format=name)
        wide = may_be_wide(statement.text)
        if name == "Native" and (revision or not wide):
            stream = NativeStream(job, statement, revision, wide=wide, plain=as_sent)
            return NativeSource(job, self.engine, hops, stream=stream)
        if not wide and not query.output_format and is_row_wise(name, statement.text, job):
            rows = row_stream(job, statement, name, plain=as_sent)
            return NativeSource(job, self.engine, hops, stream=rows)
        suffix = b"" if statement.format else b"\nFORMAT " + name.encode()
        return DocumentSource(
            job,
            self.engine,
            hops,
            pipes=self.pipes,
            statement=lambda path: with_outfile(statement, path) + suffix,
            plain=as_sent,
        )

    def _buffered(
        self, job: Job, statement: Statement, name: str, *, plain: bytes, hops: Hops, revision: int = 0
    ) -> Source:
        sql = statement.text
        kills_queries = _KILL_QUERY.match(sql) is not None

        def run() -> bytes:
            well = False
            try:
                connection = job.open(self.engine)
                if kills_queries:
                    kill = Kill(self.registry, job.marker)
                    result = kill.run(connection, statement, name, params=job.params)
                else:
                    result = job.query(connection, sql, name, plain=plain)
                if statement.kind is Kind.BROKEN or statement.verb in _NOT_SQL:
                    raise _not_sql(statement)
                if job.bare and job.session is not None and b"session_timezone" in sql:
                    job.session.note_timezone(connection)
                well = True
                job.stats.add_read(result)
                if statement.kind is Kind.INSERT:
                    job.stats.set_written(result)
                if not statement.has_output:
                    return b""
                job.stats.result_rows = result.rows_read()
                data = result.bytes()
                return BlockRewriter(revision).blocks(data) if revision else data
            finally:
                job.finish()
                job.close(well=well)

        return BufferedSource(run, hops)


def _as_seen_by(job: Job, statement: Statement) -> Statement:
    """The statement, asking for the client's name and query id where it asks for the engine's."""
    if statement.verb not in _SELECTS and (statement.insert is None or not statement.insert.has_select):
        return statement
    text = as_client(statement.text, user=job.user, query_id=job.query_id)
    return statement if text == statement.text else split_statement(text)


@remembering
def _makes_a_disk(sql: bytes) -> bool:
    """Whether ``disk = disk(…)`` stands in it: the engine makes its directory before it refuses it."""
    before = [b"", b""]
    for token in tokens(sql):
        text = sql[token[1] : token[2]].lower()
        if text == b"(" and before == [b"=", b"disk"]:
            return True
        before = [before[1], text]
    return False


def _not_sql(statement: Statement) -> ClickHouseError:
    word = statement.text[:40].decode("utf-8", "replace")
    return ClickHouseError(SYNTAX_ERROR, "SYNTAX_ERROR", f"Syntax error: failed at position 1 ({word}): {word}")
