"""From an HTTP request to an answer: the one place that knows all steps and their order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

from aiohttp import web

from test_framework.embedded_clickhouse.bodies import StatementBody, body_pieces, read_statement
from test_framework.embedded_clickhouse.compression import request_decoders, response_encoder
from test_framework.embedded_clickhouse.decompression import EncodingError
from test_framework.embedded_clickhouse.engine import Engine
from test_framework.embedded_clickhouse.errors import ClickHouseError, translate
from test_framework.embedded_clickhouse.inserts import insert_from_input, run_insert
from test_framework.embedded_clickhouse.job import Job
from test_framework.embedded_clickhouse.multipart import ExternalTable, read_multipart
from test_framework.embedded_clickhouse.options import Options
from test_framework.embedded_clickhouse.plan import Planner
from test_framework.embedded_clickhouse.query_log import ClientInfo, QueryLog
from test_framework.embedded_clickhouse.registry import Registry
from test_framework.embedded_clickhouse.replies import Reply, ReplyHeaders, error_reply, send_result
from test_framework.embedded_clickhouse.request import QueryRequest
from test_framework.embedded_clickhouse.results import EmptySource, Source
from test_framework.embedded_clickhouse.sessions import Session, Sessions
from test_framework.embedded_clickhouse.statement import Kind, Statement
from test_framework.embedded_clickhouse.users import Users

__all__ = ["QueryHandler"]


class QueryHandler:
    """Answers queries over one engine."""

    def __init__(
        self, engine: Engine, options: Options, *, spool: Path, user_files: Path, headers: ReplyHeaders
    ) -> None:
        self.engine = engine
        self.options = options
        self.spool = spool
        self.headers = headers
        self.users = Users(options.accounts)
        self.sessions = Sessions()
        self.registry = Registry(engine, limit=options.max_concurrent_queries)
        self.log = QueryLog(engine, keep=options.query_log_rows)
        self.executor: Executor = ThreadPoolExecutor(options.max_concurrent_queries + 4, thread_name_prefix="query")
        self.planner = Planner(engine, self.executor, self.registry, spool, user_files)

    async def answer(self, request: web.BaseRequest, query: QueryRequest) -> web.StreamResponse:
        """Answer one request; every error becomes a reply."""
        try:
            user = self._login(request, query)
            _check_length(request)
            externals: list[ExternalTable] = []
            if request.content_type == "multipart/form-data":
                externals = await read_multipart(request, query, limit=self.options.max_body_bytes)
            async with AsyncExitStack() as stack:
                session = await stack.enter_async_context(self._session(user, query))
                marker = stack.enter_context(self.registry.running(query.query_id))
                return await self._run(
                    request, query, user, session=session, marker=marker, externals=externals, stack=stack
                )
        except ClickHouseError as error:
            return error_reply(error, self.headers, query.query_id)
        except EncodingError as error:
            failure = ClickHouseError(error.code, error.name, str(error))
            return error_reply(failure, self.headers, query.query_id)
        except RuntimeError as error:
            return error_reply(translate(error), self.headers, query.query_id)

    def _login(self, request: web.BaseRequest, query: QueryRequest) -> str:
        client = _client_info(request)
        try:
            user = self.users.authenticate(request.headers, query.arguments)
        except ClickHouseError as error:
            self.log.add_login(client, user=query.arguments.get("user", ""), session_id="", failure=str(error))
            raise
        if query.session_id:
            self.log.add_login(client, user=user, session_id=query.session_id)
        return user

    @asynccontextmanager
    async def _session(self, user: str, query: QueryRequest) -> AsyncIterator[Session | None]:
        if not query.session_id:
            yield None
            return
        timeout = query.session_timeout()
        session = self.sessions.take(user, query.session_id, check=query.flag("session_check"))
        try:
            yield session
        finally:
            over = self.sessions.give_back(session, timeout=timeout, close=query.flag("close_session"))
            if over is not None:
                await asyncio.get_running_loop().run_in_executor(self.executor, over.close)

    async def _run(
        self,
        request: web.BaseRequest,
        query: QueryRequest,
        user: str,
        *,
        session: Session | None,
        marker: str,
        externals: list[ExternalTable],
        stack: AsyncExitStack,
    ) -> web.StreamResponse:
        body = await self._read(request, query, multipart=request.content_type == "multipart/form-data")
        statement = body.statement
        job = _job(query, user, statement, session=session, marker=marker)
        job.externals = externals
        error: ClickHouseError | None = None
        try:
            self.planner.check(statement)
            await self._flush_logs(statement)
            return await self._execute(request, query, job, body, stack=stack)
        except (ClickHouseError, RuntimeError) as raised:
            error = raised if isinstance(raised, ClickHouseError) else translate(raised)
            raise error from raised
        except asyncio.CancelledError:
            error = ClickHouseError(394, "QUERY_WAS_CANCELLED", "Query was cancelled: the client has gone")
            raise
        finally:
            job.finish()
            self.log.add_query(job, _client_info(request), verb=statement.verb, error=error or job.error)

    async def _read(self, request: web.BaseRequest, query: QueryRequest, *, multipart: bool) -> StatementBody:
        if multipart:
            return await read_statement(query.sql, _nothing(), limit=self.options.max_body_bytes)
        pieces = body_pieces(request, request_decoders(request.headers, query))
        return await read_statement(query.sql, pieces, limit=self.options.max_body_bytes)

    async def _flush_logs(self, statement: Statement) -> None:
        names = self.log.wanted(statement.text)
        if names:
            await asyncio.get_running_loop().run_in_executor(self.executor, self.log.flush, self.engine, names)

    async def _execute(
        self, request: web.BaseRequest, query: QueryRequest, job: Job, body: StatementBody, *, stack: AsyncExitStack
    ) -> web.StreamResponse:
        statement = body.statement
        insert = statement.insert
        source: Source = EmptySource()
        try:
            if insert is None or insert.data_offset is None:
                source = self.planner.source(job, statement, query)
            elif insert.has_select:
                source = await insert_from_input(
                    job, self.engine, self.executor, spool=self.spool, query=query, body=body
                )
            else:
                await run_insert(job, self.engine, self.executor, query=query, body=body)

            async def release() -> None:
                await source.close()
                await stack.aclose()

            return await send_result(request, source, self._reply(request, query, job, statement), release=release)
        except asyncio.CancelledError:
            await self.registry.kill(job.marker)
            raise
        finally:
            await source.close()

    def _reply(self, request: web.BaseRequest, query: QueryRequest, job: Job, statement: Statement) -> Reply:
        output = self.planner.output_format(statement, query) if statement.has_output else ""
        encoder, headers = response_encoder(request.headers, query)
        if query.flag("add_http_cors_header") and request.headers.get("Origin"):
            headers = {**headers, "Access-Control-Allow-Origin": "*"}
        return Reply(
            headers=self.headers,
            query_id=query.query_id,
            format=output,
            extra=headers,
            job=job,
            encoder=encoder,
            executor=self.executor,
            whole=query.flag("wait_end_of_query") or query.flag("http_wait_end_of_query"),
            hold=max(query.number("buffer_size", 0), query.number("http_response_buffer_size", 0)),
            spool=self.spool,
        )

    async def expire_sessions(self) -> None:
        """Close sessions whose time is over, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(1)
            for session in self.sessions.expired():
                await loop.run_in_executor(self.executor, session.close)

    def close(self) -> None:
        """Close all sessions and wait for the worker threads."""
        for session in self.sessions.drain():
            with suppress(RuntimeError):
                session.close()
        self.registry.close()
        self.executor.shutdown(wait=True)


async def _nothing() -> AsyncIterator[bytes]:
    for piece in list[bytes]():
        yield piece


def _check_length(request: web.BaseRequest) -> None:
    if request.method == "POST" and request.content_length is None and "Transfer-Encoding" not in request.headers:
        raise ClickHouseError(
            381,
            "HTTP_LENGTH_REQUIRED",
            "The Transfer-Encoding is not chunked and there is no Content-Length header for POST request",
        )


def _job(query: QueryRequest, user: str, statement: Statement, *, session: Session | None, marker: str) -> Job:
    settings = dict(query.settings)
    level = settings.pop("readonly", "0")
    readonly = int(level) if level in ("1", "2") else 0
    if query.readonly and not readonly:
        readonly = 2
    sql = statement.insert.head if statement.insert and not statement.insert.has_select else statement.text
    return Job(
        query.query_id,
        user,
        marker,
        query.database,
        settings,
        query.params,
        sql=sql,
        text=statement.text,
        session=session,
        bare=session is not None and statement.kind is Kind.COMMAND and statement.verb in ("SET", "USE"),
        verb=statement.verb,
        readonly=readonly,
        roles=query.roles,
    )


def _client_info(request: web.BaseRequest) -> ClientInfo:
    peer = request.transport.get_extra_info("peername") if request.transport else None
    address, port = (str(peer[0]), int(peer[1])) if isinstance(peer, tuple) else ("::", 0)
    headers = request.headers
    return ClientInfo(
        address,
        port,
        request.method,
        user_agent=headers.get("User-Agent", ""),
        referer=headers.get("Referer", ""),
        forwarded_for=headers.get("X-Forwarded-For", ""),
    )
