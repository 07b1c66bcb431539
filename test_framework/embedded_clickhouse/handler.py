"""From an HTTP request to an answer: the one place that knows all steps and their order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from aiohttp import web

from test_framework.embedded_clickhouse.asked_headers import asked_headers
from test_framework.embedded_clickhouse.assignments import assigned
from test_framework.embedded_clickhouse.bodies import StatementBody, body_pieces, read_statement
from test_framework.embedded_clickhouse.compression import request_decoders, response_encoder
from test_framework.embedded_clickhouse.decompression import EncodingError
from test_framework.embedded_clickhouse.ending import Ending
from test_framework.embedded_clickhouse.engine import Engine
from test_framework.embedded_clickhouse.errors import ENGINE_ERRORS, ClickHouseError, translate
from test_framework.embedded_clickhouse.job import Job
from test_framework.embedded_clickhouse.multipart import ExternalTable, read_multipart
from test_framework.embedded_clickhouse.options import Options
from test_framework.embedded_clickhouse.pipes import PipePool
from test_framework.embedded_clickhouse.plan import Planner
from test_framework.embedded_clickhouse.positions import check_size, located
from test_framework.embedded_clickhouse.query_log import ClientInfo, QueryLog
from test_framework.embedded_clickhouse.registry import Registry
from test_framework.embedded_clickhouse.replies import (
    Reply,
    patience,
    send_result,
)
from test_framework.embedded_clickhouse.reply_headers import ReplyHeaders
from test_framework.embedded_clickhouse.request import QueryRequest
from test_framework.embedded_clickhouse.sessions import Session, Sessions
from test_framework.embedded_clickhouse.statement import Kind, Statement
from test_framework.embedded_clickhouse.users import Users
from test_framework.embedded_clickhouse.written_errors import error_reply

__all__ = ["QueryHandler"]

#: A server's default for the setting ``http_receive_timeout``.
_RECEIVE_SECONDS = 30


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
        self.compresses = engine.text("SELECT getSetting('enable_http_compression')")
        self.log = QueryLog(engine, keep=options.query_log_rows)
        # A large result has two threads: one makes it, one sends it.
        threads = 2 * options.max_concurrent_queries + 4
        self.executor: Executor = ThreadPoolExecutor(threads, thread_name_prefix="query")
        pipes = PipePool(spool, keep=options.max_concurrent_queries)
        self.planner = Planner(engine, self.executor, self.registry, spool, pipes, user_files)
        self._ending: set[asyncio.Task[None]] = set()

    async def answer(self, request: web.BaseRequest, query: QueryRequest) -> web.StreamResponse:
        """Answer one request; every error becomes a reply."""
        try:
            user = self._login(request, query)
            _check_length(request)
            externals: list[ExternalTable] = []
            if request.content_type == "multipart/form-data":
                externals = await read_multipart(request, query, limit=self.options.max_body_bytes)
            return await self._within(request, query, user, externals)
        except ClickHouseError as error:
            return error_reply(error, self.headers, query.query_id)
        except EncodingError as error:
            failure = ClickHouseError(error.code, error.name, str(error))
            return error_reply(failure, self.headers, query.query_id)
        except ENGINE_ERRORS as error:
            return error_reply(translate(error), self.headers, query.query_id)

    def _login(self, request: web.BaseRequest, query: QueryRequest) -> str:
        try:
            user = self.users.authenticate(request.headers, query.arguments)
        except ClickHouseError as error:
            name = query.arguments.get("user", "")
            self.log.add_login(_client_info(request), user=name, session_id="", failure=str(error))
            raise
        if query.session_id:
            self.log.add_login(_client_info(request), user=user, session_id=query.session_id)
        return user

    @asynccontextmanager
    async def _session(self, user: str, query: QueryRequest) -> AsyncIterator[Session]:
        timeout = query.session_timeout()
        session = self.sessions.take(user, query.session_id, check=query.flag("session_check"))
        try:
            yield session
        finally:
            over = self.sessions.give_back(session, timeout=timeout, close=query.flag("close_session"))
            if over is not None:
                await asyncio.get_running_loop().run_in_executor(self.executor, over.close)

    async def _within(
        self, request: web.BaseRequest, query: QueryRequest, user: str, externals: list[ExternalTable]
    ) -> web.StreamResponse:
        """Run it within its session and under its id, and give both back when nothing runs any more."""
        ending = Ending(self._ending)
        try:
            session: Session | None = None
            if query.session_id:
                session = await ending.stack.enter_async_context(self._session(user, query))
            if query.flag("replace_running_query"):
                wait = query.number("replace_running_query_max_wait_ms", 5000) / 1000
                await self.registry.replace(query.query_id, wait=wait)
            marker = ending.stack.enter_context(self.registry.running(query.query_id))
            body = await self._read(request, query, ending)
            job = _job(query, user, body.statement, session=session, marker=marker)
            job.externals = externals
            return await self._logged(request, query, job, body, ending=ending)
        finally:
            await ending.finish()

    async def _logged(
        self, request: web.BaseRequest, query: QueryRequest, job: Job, body: StatementBody, *, ending: Ending
    ) -> web.StreamResponse:
        error: ClickHouseError | None = None
        try:
            self.planner.check(body.statement, query)
            await self._flush_logs(body.statement)
            source = self.planner.source(job, body, query)
            ending.source = source
            reply = self._reply(request, query, job, body.statement)
            return await send_result(request, source, reply, release=ending.finish)
        except (ClickHouseError, *ENGINE_ERRORS) as raised:
            error = raised if isinstance(raised, ClickHouseError) else located(translate(raised), body.statement)
            if self._writes_errors(query, body.statement):
                error.format = query.output_format or body.statement.format or query.default_format
            raise error from raised
        except (asyncio.CancelledError, OSError):
            error = ClickHouseError(394, "QUERY_WAS_CANCELLED", "Query was cancelled: the client has gone")
            raise
        finally:
            job.finish()
            self.log.add_query(job, _client_info(request), verb=body.statement.verb, error=error or job.error)

    async def _read(self, request: web.BaseRequest, query: QueryRequest, ending: Ending) -> StatementBody:
        if request.content_type == "multipart/form-data":
            return await read_statement(query.sql, _nothing(), limit=self.options.max_body_bytes)
        timeout = query.number("http_receive_timeout", _RECEIVE_SECONDS)
        pieces = body_pieces(request, request_decoders(request.headers, query), timeout=timeout)
        ending.stack.push_async_callback(pieces.aclose)
        return await read_statement(query.sql, pieces, limit=self.options.max_body_bytes)

    async def _flush_logs(self, statement: Statement) -> None:
        names = self.log.wanted(statement.text)
        if names:
            await asyncio.get_running_loop().run_in_executor(self.executor, self.log.flush, self.engine, names)

    def _reply(self, request: web.BaseRequest, query: QueryRequest, job: Job, statement: Statement) -> Reply:
        output = self.planner.output_format(statement, query) if statement.has_output else ""
        encoder, headers = response_encoder(request.headers, query, default=self.compresses)
        if query.flag("add_http_cors_header") and request.headers.get("Origin"):
            headers["Access-Control-Allow-Origin"] = "*"
        hold = max(query.number("buffer_size", 0), query.number("http_response_buffer_size", 0))
        zone = job.session.timezone if job.session else ""
        headers |= asked_headers(job.text, job.settings, timezone=zone)
        return Reply(
            headers=self.headers,
            query_id=query.query_id,
            format=output,
            extra=headers,
            job=job,
            encoder=encoder,
            executor=self.executor,
            whole=query.flag("wait_end_of_query") or query.flag("http_wait_end_of_query"),
            patience=patience(hold, compressed=encoder is not None, progress=job.wants_progress),
            hold=hold,
            spool=self.spool,
            writes_errors=self._writes_errors(query, statement),
        )

    def _writes_errors(self, query: QueryRequest, statement: Statement) -> bool:
        name = "http_write_exception_in_output_format"
        return (assigned(statement.text, name.encode()) or "0") != "0" or query.flag(name)

    async def expire_sessions(self) -> None:
        """Close sessions whose time is over, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(1)
            for session in self.sessions.expired():
                await loop.run_in_executor(self.executor, session.close)

    async def close(self) -> None:
        """End what runs, close all sessions and wait for the worker threads."""
        await self.registry.kill_all()
        if self._ending:
            await asyncio.wait(self._ending)
        for session in self.sessions.drain():
            with suppress(*ENGINE_ERRORS):
                session.close()
        self.registry.close()
        self.executor.shutdown(wait=True)
        self.planner.kept.forget()


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
    insert = statement.insert
    if insert and insert.data_offset is not None and "max_query_size" in settings:
        # The engine would count words of its own with the statement.
        check_size(statement, query.number("max_query_size", 0))
        del settings["max_query_size"]
    sql = insert.head if insert and not insert.has_select else statement.text
    # A server takes the statement and its data apart where the data begins.
    text = statement.source[statement.start : insert.data_offset] if insert and insert.data_offset else statement.text
    return Job(
        query.query_id,
        user,
        marker,
        query.database,
        settings,
        query.params,
        sql=sql,
        text=text,
        session=session,
        bare=session is not None and statement.kind is Kind.COMMAND and statement.verb in ("SET", "USE"),
        verb=statement.verb,
        readonly=readonly,
        roles=query.roles,
        wants_progress=query.flag("send_progress_in_http_headers"),
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
