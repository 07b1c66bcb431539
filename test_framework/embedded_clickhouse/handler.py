"""From an HTTP request to an answer: the one place that knows all steps and their order."""

from __future__ import annotations

import asyncio
import itertools
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path

from aiohttp import web

from test_framework.embedded_clickhouse.bodies import Body, StatementBody, read_statement
from test_framework.embedded_clickhouse.engine import Engine
from test_framework.embedded_clickhouse.errors import ClickHouseError, translate
from test_framework.embedded_clickhouse.inserts import run_insert
from test_framework.embedded_clickhouse.job import Job
from test_framework.embedded_clickhouse.options import Options
from test_framework.embedded_clickhouse.replies import ReplyHeaders, content_type, error_reply, send_result
from test_framework.embedded_clickhouse.request import QueryRequest, read_request
from test_framework.embedded_clickhouse.results import BufferedSource, DocumentSource, NativeSource, Source
from test_framework.embedded_clickhouse.sessions import Session, Sessions
from test_framework.embedded_clickhouse.settings import quote_string
from test_framework.embedded_clickhouse.statement import Kind, Statement
from test_framework.embedded_clickhouse.users import Users

__all__ = ["Endpoint"]


class Endpoint:
    """The HTTP interface of one engine. Calling it answers one request."""

    def __init__(self, engine: Engine, options: Options, *, spool: Path, display_name: str) -> None:
        self.engine = engine
        self.options = options
        self.spool = spool
        self.users = Users(options.accounts)
        self.sessions = Sessions()
        self.executor: Executor = ThreadPoolExecutor(options.max_concurrent_queries, thread_name_prefix="query")
        self.headers = ReplyHeaders(display_name=display_name, timezone=engine.timezone, version=engine.version)
        self._numbers = itertools.count(1)

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        path, _, raw_query = request.raw_path.partition("?")
        if path == "/ping":
            return web.Response(text="Ok.\n", headers={"X-ClickHouse-Server-Display-Name": self.headers.display_name})
        query = read_request(request.method, raw_query, request.headers)
        session: Session | None = None
        try:
            user = self.users.authenticate(request.headers, query.arguments)
            if path == "/" and request.method == "GET" and not query.sql:
                return web.Response(text="Ok.\n")
            if query.session_id:
                timeout = query.session_timeout()
                session = self.sessions.take(user, query.session_id, check=query.flag("session_check"))
            try:
                return await self._answer(request, query, user, session)
            finally:
                if session is not None:
                    self.sessions.give_back(session, timeout=timeout, close=False)
        except ClickHouseError as error:
            return error_reply(error, self.headers, query.query_id)
        except RuntimeError as error:
            return error_reply(translate(error), self.headers, query.query_id)

    async def _answer(self, request, query: QueryRequest, user: str, session: Session | None) -> web.StreamResponse:
        body = await read_statement(query.sql, Body(request, ()).pieces(), limit=self.options.max_body_bytes)
        statement = body.statement
        if statement.second is not None:
            raise ClickHouseError(
                62,
                "SYNTAX_ERROR",
                f"Syntax error (Multi-statements are not allowed): failed at position {statement.end + 1} (end of query)",
            )
        if statement.kind is Kind.EMPTY:
            raise ClickHouseError(
                62,
                "SYNTAX_ERROR",
                "Syntax error: failed at position 1 (end of query): . Expected one of: Query, Query with output",
            )
        settings = query.settings
        if query.readonly and settings.get("readonly", "0") == "0":
            settings = {**settings, "readonly": "2"}
        job = Job(
            query.query_id,
            user,
            str(next(self._numbers)),
            query.database,
            settings,
            query.params,
            sql=statement.text,
            session=session,
            bare=statement.verb in ("SET", "USE"),
        )
        if statement.insert is not None and statement.insert.data_offset is not None:
            return await self._insert(request, query, job, body)
        format = statement.format or query.default_format or "TabSeparated"
        source = self._source(job, statement, format)
        extra = {}
        if statement.has_output:
            extra = {"X-ClickHouse-Format": format, "Content-Type": content_type(format)}
        try:
            return await send_result(
                request,
                source,
                headers=self.headers,
                query_id=query.query_id,
                extra=extra,
                stats=job.stats,
                encoder=None,
            )
        finally:
            await asyncio.shield(source.close())

    def _source(self, job: Job, statement: Statement, format: str) -> Source:
        if statement.verb in ("SELECT", "WITH", "FROM", "(") and statement.has_output:
            if format == "Native":
                return NativeSource(job, self.engine, self.executor, patch=None)

            def outfile(path: str) -> bytes:
                clause = f" INTO OUTFILE {quote_string(path)} APPEND ".encode()
                if statement.format_span:
                    at = statement.format_span[0]
                    return statement.source[statement.start : at] + clause + statement.source[at : statement.end]
                return statement.text + clause + b"FORMAT " + format.encode()

            return DocumentSource(job, self.engine, self.executor, spool=self.spool, statement=outfile)

        def run() -> bytes:
            try:
                result = job.open(self.engine).query(job.sql, format, params=job.params)
                job.stats.result_rows = result.rows_read()
                return result.bytes() if statement.has_output else b""
            finally:
                job.finish()
                job.close()

        return BufferedSource(run, self.executor)

    async def _insert(self, request, query: QueryRequest, job: Job, body: StatementBody) -> web.StreamResponse:
        insert = body.statement.insert
        assert insert is not None
        format = insert.format or query.default_format or "TabSeparated"
        await run_insert(
            job, self.engine, self.executor, head=insert.head, format=format, first=body.first_data(), rest=body.rest
        )

        class Nothing:
            async def read(self) -> bytes:
                return b""

            async def close(self) -> None: ...

        return await send_result(
            request, Nothing(), headers=self.headers, query_id=query.query_id, extra={}, stats=job.stats, encoder=None
        )
