"""``python -m test_framework.monitoring``: watch the stack that the environment names, and serve what is seen.

Exit status: 0 stopped by a signal, 2 bad arguments or settings, 6 the address cannot be bound.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from test_framework.errors import FrameworkError, ResourceUnavailable
from test_framework.monitoring.http_server import Server
from test_framework.monitoring.site import Site
from test_framework.monitoring.watch import Watch
from test_framework.settings import Settings, load_settings, read_variables

logger = logging.getLogger("monitor")

# As long as the rest of the stack may still be starting, the processor is left to it.
_BUSY_SECONDS = 3.0


def main(arguments: Sequence[str] | None = None) -> int:
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    try:
        settings = load_settings()
        options = _parser(settings).parse_args(arguments)
        asyncio.run(_serve(options, settings))
    except FrameworkError as error:
        print(f"monitor: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _parser(settings: Settings) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m test_framework.monitoring", description="Serve the health of the test stack."
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument(
        "--port", type=_port, default=settings.endpoints.monitor.port, help="0: any free one (default: %(default)s)"
    )
    parser.add_argument("--port-file", type=Path, help="write the port there once it is open")
    parser.add_argument(
        "--interval", type=_seconds(0.05), default=1.0, help="seconds between probes (default: %(default)s)"
    )
    parser.add_argument(
        "--timeout",
        type=_seconds(0.05),
        default=min(2.0, settings.connection_timeout),
        help="seconds a server has to answer (default: %(default)s)",
    )
    return parser


def _port(text: str) -> int:
    if not 0 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError("a port is a number from 0 to 65535")
    return int(text)


def _seconds(least: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        if not least <= float(text) <= 3600:
            raise argparse.ArgumentTypeError(f"a number of seconds from {least} to 3600")
        return float(text)

    parse.__name__ = "number"  # argparse names it in its message
    return parse


async def _serve(options: argparse.Namespace, settings: Settings) -> None:
    variables = read_variables(settings.project_dir)
    watch = Watch(
        settings.endpoints,
        interval=options.interval,
        timeout=options.timeout,
        stack_id=variables.text("TEST_STACK_ID", None),
    )
    extra = variables.text("TEST_MONITOR_ALLOWED_HOSTS", "")
    site = Site(watch, allowed_hosts=_allowed_hosts(options.host, settings.stack_name, extra))
    server = Server(site)
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    port = await _listen(server, options.host, options.port)
    if options.port_file is not None:
        _write_port(options.port_file, port)
    logger.info("listening on http://%s:%d", f"[{options.host}]" if ":" in options.host else options.host, port)
    loop.call_later(_BUSY_SECONDS, site.warm_up)
    watching = asyncio.create_task(watch.run())
    stopping = asyncio.create_task(stopped.wait())
    await asyncio.wait([watching, stopping], return_when=asyncio.FIRST_COMPLETED)
    server.close()
    if not stopped.is_set():
        watching.result()  # it ends by an error of ours alone: say it, and let the supervisor start us anew
    _leave()


def _leave() -> None:
    """End now. A name that is being resolved, or a stopped server that is being asked, holds a thread for seconds, and
    the interpreter would wait for it; nothing here needs to be finished."""
    logging.shutdown()
    sys.stdout.flush()
    os._exit(0)


async def _listen(server: Server, host: str, port: int) -> int:
    try:
        return await server.start(host, port)
    except OSError as error:
        raise ResourceUnavailable(
            f"the monitor cannot listen on port {port}",
            where=f"{host}:{port}",
            cause=error.strerror or str(error),
            fix="stop what uses the port, or choose another one: TEST_MONITOR_PORT or --port",
        ) from error


def _allowed_hosts(host: str, stack_name: str, extra: str) -> set[str]:
    """Besides loopback: the address we listen on, the names the containers know us by, and the user's own."""
    names = {name.strip() for name in extra.split(",") if name.strip()}
    return {host, "test-monitor", f"{stack_name}-monitor"} | names


def _write_port(file: Path, port: int) -> None:
    """A reader finds no file or the whole number."""
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    draft.write_text(f"{port}\n", "ascii")
    draft.replace(file)


if __name__ == "__main__":
    sys.exit(main())
