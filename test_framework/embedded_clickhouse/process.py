"""The process: directories, engine, listener, signals, in this order and back."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from aiohttp import web

from test_framework.embedded_clickhouse.config import write_configuration
from test_framework.embedded_clickhouse.engine import Engine
from test_framework.embedded_clickhouse.handler import Endpoint
from test_framework.embedded_clickhouse.options import Options, environment, parse_options
from test_framework.embedded_clickhouse.settings import quote_identifier
from test_framework.errors import FrameworkError, ResourceUnavailable

__all__ = ["main"]


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
    """Leave the caller's process group: a kill sent by the engine to its group must not reach the caller."""
    with contextlib.suppress(PermissionError):
        os.setsid()


async def _serve(options: Options) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    directories = _prepare_directories(options.path)
    engine = _open_engine(options, directories)
    try:
        endpoint = Endpoint(
            engine, options, spool=directories["spool"], display_name=_display_name(engine.package_version)
        )
        server = web.Server(
            endpoint,
            handler_cancellation=True,
            auto_decompress=False,
            max_line_size=1 << 20,
            max_field_size=1 << 17,
            access_log=None,
        )
        runner = web.ServerRunner(server)
        await runner.setup()
        site = web.TCPSite(runner, options.host, options.port)
        try:
            await site.start()
        except OSError as error:
            raise ResourceUnavailable(
                f"port {options.port} on {options.host} cannot be used", cause=str(error), fix="choose another --port"
            ) from error
        if options.port_file:
            _write_atomically(options.port_file, str(runner.addresses[0][1]))
        await stop.wait()
        await runner.cleanup()
    finally:
        engine.close()


def _display_name(version: str) -> str:
    return f"embedded ClickHouse (chdb-core {version})"


def _prepare_directories(path: Path) -> dict[str, Path]:
    found = {name: path / name for name in ("data", "user_files", "spool", "configuration")}
    shutil.rmtree(found["spool"], ignore_errors=True)
    for directory in found.values():
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    return found


def _open_engine(options: Options, directories: dict[str, Path]) -> Engine:
    main_file = write_configuration(
        options, directories["configuration"], user_files=directories["user_files"], display_name="embedded ClickHouse"
    )
    engine = Engine(directories["data"], config_file=main_file, defaults={})
    # Relative paths of file() are relative to the working directory of an embedded engine.
    os.chdir(directories["user_files"])
    # The embedded engine's own "default" database also shows the host's files as tables.
    if engine.text("SELECT engine FROM system.databases WHERE name = 'default'") != "Atomic":
        engine.text("DROP DATABASE default")
        engine.text("CREATE DATABASE default ENGINE = Atomic")
    if options.database:
        engine.text(f"CREATE DATABASE IF NOT EXISTS {quote_identifier(options.database)}")
    return engine


def _write_atomically(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
