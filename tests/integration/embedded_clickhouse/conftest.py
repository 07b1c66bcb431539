"""A running endpoint for these tests: the real program as a child process on a free port."""

from __future__ import annotations

import ctypes
import io
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

USER, PASSWORD = "tester", "a secret: with signs+"


@dataclass(frozen=True)
class Server:
    """A started endpoint."""

    process: subprocess.Popen[bytes]
    path: Path
    port: int
    user: str = USER
    password: str = PASSWORD

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def memory(self) -> int:
        """Resident bytes of the process."""
        import psutil

        return int(psutil.Process(self.process.pid).memory_info().rss)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send the signal and return the exit status."""
        self.process.send_signal(number)
        return self.process.wait(30)


Start = Callable[..., Server]


def _die_with_parent() -> None:
    """A killed test run leaves no server behind (Linux; elsewhere nothing can be asked for)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def start_server(path: Path, *arguments: str, environ: dict[str, str] | None = None) -> Server:
    """Start the program on ``path`` and wait until its port file appears."""
    port_file = path.parent / f"{path.name}.port"
    port_file.unlink(missing_ok=True)
    settings = {"CLICKHOUSE_USER": USER, "CLICKHOUSE_PASSWORD": PASSWORD, **(environ or {})}
    with (path.parent / f"{path.name}.log").open("ab") as log:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "test_framework.embedded_clickhouse", "--path", str(path)),
                *("--port", "0", "--port-file", str(port_file), *arguments),
            ],
            env={**os.environ, **settings},
            preexec_fn=_die_with_parent,  # noqa: PLW1509 - one system call, and nothing else can ask for it
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    deadline = time.monotonic() + 60
    while not port_file.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            process.wait()
            raise AssertionError((path.parent / f"{path.name}.log").read_text())
        time.sleep(0.01)
    return Server(process, path, int(port_file.read_text()))


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The endpoint that most tests share."""
    running = start_server(tmp_path_factory.mktemp("embedded") / "store")
    yield running
    running.stop()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start endpoints of the test's own; all are stopped afterwards."""
    started: list[Server] = []

    def begin(*arguments: str, environ: dict[str, str] | None = None, path: Path | None = None) -> Server:
        started.append(start_server(path or tmp_path / "store", *arguments, environ=environ))
        return started[-1]

    yield begin
    for one in started:
        if one.process.poll() is None:
            one.stop()


@dataclass(frozen=True)
class Reply:
    """A whole HTTP answer."""

    status: int
    body: bytes
    headers: aiohttp.typedefs.LooseHeaders

    @property
    def text(self) -> str:
        return self.body.decode()


class Client:
    """A bare HTTP client: nothing between the test and the endpoint."""

    def __init__(self, server: Server, session: aiohttp.ClientSession) -> None:
        self.server = server
        self.session = session

    async def send(
        self,
        sql: str | bytes = b"",
        *,
        method: str = "POST",
        path: str = "/",
        headers: dict[str, str] | None = None,
        auth: bool = True,
        **url: object,
    ) -> Reply:
        """One request; ``sql`` is the body, keywords are URL arguments."""
        login = {"X-ClickHouse-User": self.server.user, "X-ClickHouse-Key": self.server.password} if auth else {}
        async with self.session.request(
            method,
            self.server.url + path,
            params={key: str(value) for key, value in url.items()},
            data=io.BytesIO(sql.encode() if isinstance(sql, str) else sql),
            headers={**login, **(headers or {})},
        ) as response:
            return Reply(response.status, await response.read(), response.headers)

    async def text(self, sql: str | bytes, **url: object) -> str:
        """The answer's text; fails unless it is 200."""
        reply = await self.send(sql, **url)
        assert reply.status == 200, reply.body
        return reply.text


@pytest.fixture
async def client(server: Server) -> Iterator[Client]:
    """A client of the shared endpoint."""
    # The library would ask for compressed answers by itself.
    plain = {"Accept-Encoding": "identity"}
    async with aiohttp.ClientSession(auto_decompress=False, headers=plain) as session:
        yield Client(server, session)


@pytest.fixture
async def table(client: Client) -> Iterator[str]:
    """A name for a table, which is dropped afterwards."""
    name = f"t_{uuid.uuid4().hex[:12]}"
    yield name
    await client.text(f"DROP TABLE IF EXISTS {name} SYNC")
