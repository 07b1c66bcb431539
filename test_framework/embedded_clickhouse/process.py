"""The process: engine, listeners, signals, in this order and back."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from aiohttp import web

from test_framework.embedded_clickhouse.connections import HttpServer
from test_framework.embedded_clickhouse.directories import Directories, open_engine
from test_framework.embedded_clickhouse.engine import Engine
from test_framework.embedded_clickhouse.handler import QueryHandler
from test_framework.embedded_clickhouse.options import Options, environment, parse_options
from test_framework.embedded_clickhouse.reply_headers import ReplyHeaders
from test_framework.embedded_clickhouse.routes import Endpoint
from test_framework.errors import FrameworkError, ResourceUnavailable

__all__ = ["main"]

_MAX_URL = 1 << 20
_MAX_HEADER = 1 << 17
_GRACE_SECONDS = 1.0
#: Of ``malloc.h``.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def main(argv: Sequence[str] | None = None) -> int:
    """Run the endpoint until SIGTERM or SIGINT. Returns the exit status."""
    try:
        options = parse_options(sys.argv[1:] if argv is None else argv, environment())
        _own_session()
        asyncio.run(_serve(options))
    except FrameworkError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


def _own_session() -> None:
    """Leave the caller's process group: what the engine sends to its group must not reach the caller."""
    with contextlib.suppress(PermissionError):
        os.setsid()


async def _serve(options: Options) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    directories = Directories.prepare(options.path)
    engine = open_engine(options, directories)
    _collect_seldom()
    _reuse_memory()
    try:
        await _listen(options, engine, directories, stop)
    finally:
        engine.close()


def _collect_seldom() -> None:
    """Leave what lives as long as the process to itself, and look for cycles now and then: requests make few."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def _reuse_memory() -> None:
    """Use the memory of a body's pieces again: glibc gives it back by itself, and fresh pages cost more than a copy."""
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError):  # another C library
            mallopt = ctypes.CDLL(None).mallopt
            mallopt(_M_MMAP_THRESHOLD, 4 << 20)
            mallopt(_M_TRIM_THRESHOLD, 32 << 20)


async def _listen(options: Options, engine: Engine, directories: Directories, stop: asyncio.Event) -> None:
    headers = ReplyHeaders(engine)
    handler = QueryHandler(engine, options, spool=directories.spool, user_files=directories.user_files, headers=headers)
    server = HttpServer(
        Endpoint(handler, headers),
        auto_decompress=False,
        access_log=None,
        max_line_size=_MAX_URL,
        max_field_size=_MAX_HEADER,
        read_bufsize=1 << 20,
        keepalive_timeout=30,
    )
    runner = web.ServerRunner(server, shutdown_timeout=_GRACE_SECONDS)
    await runner.setup()
    expiry = asyncio.create_task(handler.expire_sessions())
    try:
        await _bind(web.TCPSite(runner, options.host, options.port), options.host, options.port)
        port = int(runner.addresses[0][1])
        async with contextlib.AsyncExitStack() as stack:
            if options.native_port is not None:
                await stack.enter_async_context(await _hint_listener(options.host, options.native_port, port))
            if options.port_file:
                _write_atomically(options.port_file, str(port))
            await stop.wait()
            _end_at_the_latest(_GRACE_SECONDS + 1)
    finally:
        expiry.cancel()
        await handler.registry.kill_all()
        await runner.cleanup()
        await handler.close()


def _end_at_the_latest(seconds: float) -> None:
    """End the process even when a query cannot be ended. What was acknowledged is on disk by then."""
    timer = threading.Timer(seconds, os._exit, (0,))
    timer.daemon = True
    timer.start()


async def _bind(site: web.TCPSite, host: str, port: int) -> None:
    try:
        await site.start()
    except OSError as error:
        raise ResourceUnavailable(
            f"port {port} on {host} cannot be used",
            cause=str(error),
            fix="choose another --port, or 0 for any free one",
        ) from error


async def _hint_listener(host: str, port: int, http_port: int) -> asyncio.Server:
    """What a server's native port says to HTTP clients. The native protocol itself is not there."""
    text = (
        f"HTTP/1.0 400 Bad Request\r\n\r\nPort {port} is for clickhouse-client program, "
        f"which the embedded engine cannot serve.\r\nYou must use port {http_port} for HTTP.\r\n"
    )

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, TimeoutError):
            await asyncio.wait_for(reader.read(1), 5)
            writer.write(text.encode())
            await writer.drain()
        writer.close()

    try:
        return await asyncio.start_server(answer, host, port)
    except OSError as error:
        raise ResourceUnavailable(f"port {port} on {host} cannot be used", cause=str(error)) from error


def _write_atomically(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
