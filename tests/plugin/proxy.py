"""A door in front of a server: killing it is losing the server, and the server behind it stays for other tests."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Door", "door_to"]


@dataclass(frozen=True)
class Door:
    """``SIGKILL`` to ``pid`` loses the server for good, ``SIGUSR1`` for half a second."""

    port: int
    pid: int


@contextlib.contextmanager
def door_to(port: int) -> Iterator[Door]:
    """A door to 127.0.0.1:``port``."""
    process = subprocess.Popen([sys.executable, "-P", __file__, str(port)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield Door(int(process.stdout.readline()), process.pid)
    finally:
        process.kill()
        process.communicate()


async def _pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def _serve(target: int) -> None:
    writers: set[asyncio.StreamWriter] = set()
    shut = asyncio.Event()

    async def enter(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", target)
        writers.update((writer, back))
        await asyncio.gather(_pour(reader, back), _pour(there, writer))
        writers.difference_update((writer, back))

    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, shut.set)
    port = 0
    while True:
        server = await asyncio.start_server(enter, "127.0.0.1", port)
        if not port:
            port = server.sockets[0].getsockname()[1]
            print(port, flush=True)
        await shut.wait()
        shut.clear()
        server.close()
        for writer in list(writers):
            writer.transport.abort()
        await asyncio.sleep(0.5)


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
