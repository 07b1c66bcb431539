"""The embedded ClickHouse endpoint beside its two bounds: the engine in this process, and a bare HTTP skeleton.

    python benchmarks/bench_embedded_clickhouse.py [--quick] [--soak]

Medians. Every figure of the endpoint is taken in turns with its bound, so that both meet the same noise. The skeleton
is an aiohttp handler that opens a connection of the engine, runs ``SELECT 1`` in a thread pool and answers. Large
selects are read twice: by a client that takes each byte off the network and drops it, as a compiled one that decodes
while it reads, and by one that makes a single ``bytes`` of the chunks in Python, whose own work is most of that figure.

Behind each of these stands "loopback": the same client and the same bytes, with a program at the other end that has
them ready and does nothing else. The engine in process pays nothing of it.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.common import Section, machine

ROWS = 1_000_000
TABLE = "CREATE TABLE {t} (a UInt64, b UInt32, c String, d Float64) ENGINE = Memory"
FILL = f"INSERT INTO {{t}} SELECT number, number, toString(number), number / 3 FROM numbers({ROWS})"


async def skeleton(path: str, port_file: str) -> None:
    """The bare skeleton: what any HTTP endpoint on the engine costs."""
    from aiohttp import web

    from test_framework.embedded_clickhouse.engine import _load

    native, _ = _load()
    root = native.connect(f"{path}?implicit_select=0")
    pool = ThreadPoolExecutor(32)
    loop = asyncio.get_running_loop()

    def run(sql: str) -> bytes:
        connection = native.connect(f"{path}?implicit_select=0")
        try:
            body: bytes = connection.query(sql, "TabSeparated").bytes()
            return body
        finally:
            connection.close()

    async def handle(request: web.Request) -> web.Response:
        sql = (await request.read()).decode()
        return web.Response(body=await loop.run_in_executor(pool, run, sql))

    app = web.Application()
    app.router.add_post("/", handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    Path(port_file).write_text(str(runner.addresses[0][1]))
    await asyncio.Event().wait()
    root.close()


def loopback(size: int, port_file: str) -> None:
    """A server that sends ``size`` bytes in chunks, or drops what it is sent."""
    listener = socket.create_server(("127.0.0.1", 0))
    Path(port_file).write_text(str(listener.getsockname()[1]))
    connection, _ = listener.accept()
    listener.close()
    data = os.urandom(size)
    parts = [data[at : at + 65536] for at in range(0, size, 65536)]
    chunks = [piece for part in parts for piece in (b"%x\r\n" % len(part), part, b"\r\n")]
    view, buffer = [*chunks, b"0\r\n\r\n"], bytearray(1 << 18)
    while head := connection.recv(1 << 16):
        text, _, body = head.partition(b"\r\n\r\n")
        left = int(text.lower().partition(b"content-length: ")[2].split(b"\r")[0] or b"0") - len(body)
        while left > 0 and (count := connection.recv_into(buffer)):
            left -= count
        if text.startswith(b"PUT"):
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            continue
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for at in range(0, len(view), 90):
            _send_all(connection, view[at : at + 90])
    connection.close()


def _send_all(connection: socket.socket, parts: list[bytes]) -> None:
    left = sum(map(len, parts))
    while left:
        sent = connection.sendmsg(parts)
        left -= sent
        while left and sent >= len(parts[0]):
            sent -= len(parts[0])
            parts = parts[1:]
        if left:
            parts = [parts[0][sent:], *parts[1:]]


class Child:
    """A server process; ready when its port file is there."""

    def __init__(self, name: str, directory: Path, size: int = 0) -> None:
        port_file = directory / f"{name}.port"
        data = str(directory / name)
        if name == "skeleton":
            command = [sys.executable, __file__, "--skeleton", data, str(port_file)]
        elif name == "loopback":
            command = [sys.executable, __file__, "--loopback", str(size), str(port_file)]
        else:
            command = [sys.executable, "-m", "test_framework.embedded_clickhouse", "--path", data]
            command += ["--port", "0", "--port-file", str(port_file)]
        begun = time.perf_counter()
        self.process = subprocess.Popen(command, env={**os.environ, "CLICKHOUSE_PASSWORD": ""})
        while not port_file.exists() or not port_file.read_text():
            if self.process.poll() is not None:
                raise SystemExit(f"{name} did not start")
            time.sleep(0.005)
        self.ready = time.perf_counter() - begun
        self.port = int(port_file.read_text())

    def memory(self) -> int:
        import psutil

        return int(psutil.Process(self.process.pid).memory_info().rss)

    def connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(20)


def ask(connection: http.client.HTTPConnection, sql: str | bytes, url: str = "/", method: str = "POST") -> bytes:
    connection.request(method, url, body=sql)
    response = connection.getresponse()
    body = response.read()
    if response.status != 200:
        raise SystemExit(body.decode())
    return body


def drop(connection: http.client.HTTPConnection, sql: str, url: str = "/") -> int:
    """Read an answer to its end, keeping nothing; the number of its bytes."""
    connection.request("POST", url, body=sql)
    response, size, buffer = connection.getresponse(), 0, bytearray(1 << 20)
    while count := response.readinto(buffer):
        size += count
    if response.status != 200:
        raise SystemExit(f"status {response.status}")
    return size


def clock(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def in_turns(rounds: int, *works: Callable[[], object]) -> list[float]:
    """The median seconds of each work, all taken in turns."""
    times: list[list[float]] = [[] for _ in works]
    for _ in range(rounds):
        for number, work in enumerate(works):
            times[number].append(clock(work))
    return [statistics.median(one) for one in times]


def throughput(child: Child, clients: int, seconds: float) -> float:
    """Requests per second of ``SELECT 1`` with this many clients."""
    stop = time.perf_counter() + seconds
    counts = [0] * clients

    def run(number: int) -> None:
        connection = child.connection()
        while time.perf_counter() < stop:
            ask(connection, "SELECT 1")
            counts[number] += 1

    threads = [threading.Thread(target=run, args=(number,)) for number in range(clients)]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - begun)


def small(endpoint: Child, bare: Child, rounds: int) -> None:
    one, other = endpoint.connection(), bare.connection()
    for _ in range(50):
        ask(one, "SELECT 1"), ask(other, "SELECT 1")
    ours, theirs = in_turns(rounds, lambda: ask(one, "SELECT 1"), lambda: ask(other, "SELECT 1"))
    print(
        f"SELECT 1                    {ours * 1e3:8.2f} ms   skeleton {theirs * 1e3:8.2f} ms   "
        f"{ours / theirs:5.2f} x  (<= 1.30)"
    )
    pairs = [(throughput(endpoint, 8, 0.7), throughput(bare, 8, 0.7)) for _ in range(7 + rounds // 25)][2:]
    ours, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratio = statistics.median(one / other for one, other in pairs)
    print(f"8 clients                   {ours:8.0f} /s   skeleton {theirs:8.0f} /s   {ratio:5.0%}    (>= 85 %)")


def million(endpoint: Child, directory: Path, rounds: int) -> None:
    """A million rows each way, beside the engine in this process and beside the bare network."""
    from test_framework.embedded_clickhouse.engine import _load

    native, _ = _load()
    engine = native.connect(f"{directory / 'inside'}?implicit_select=0")
    connection = endpoint.connection()
    for sql in (TABLE.format(t="m"), TABLE.format(t="n"), FILL.format(t="m")):
        engine.query(sql)
        ask(connection, sql)
    data = engine.query("SELECT * FROM m", "Native").bytes()
    floor = Child("loopback", directory, len(data))
    bare = floor.connection()

    def insert_inside() -> None:
        handle = engine.send_insert("INSERT INTO n", "Native")
        engine.insert_append(handle, data)
        engine.insert_done(handle)

    def select_inside() -> int:
        return len(engine.query("SELECT * FROM m", "Native").bytes())

    select, revision = "SELECT * FROM m FORMAT Native", "/?client_protocol_version=54405"
    send, take = (lambda: ask(bare, data, method="PUT")), (lambda: drop(bare, ""))
    works = {
        "1M rows select, Native": (lambda: drop(connection, select), select_inside, take),
        "1M rows select, revision": (lambda: drop(connection, select, revision), select_inside, take),
        "  joined by the client": (lambda: ask(connection, select), select_inside, lambda: ask(bare, "")),
        "  joined, revision": (lambda: ask(connection, select, revision), select_inside, lambda: ask(bare, "")),
        "1M rows insert, Native": (
            lambda: ask(connection, data, "/?query=INSERT+INTO+n+FORMAT+Native"),
            insert_inside,
            send,
        ),
    }
    for name, (ours, theirs, nothing) in works.items():
        ask(connection, "TRUNCATE TABLE n")
        engine.query("TRUNCATE TABLE n")
        mine, bound, network = in_turns(rounds, ours, theirs, nothing)
        print(
            f"{name:<27} {mine * 1e3:8.1f} ms   engine   {bound * 1e3:8.1f} ms   {bound / mine:5.0%}    (>= 85 %)"
            f"   loopback {network * 1e3:6.1f} ms"
        )
    bare.close()
    floor.stop()
    engine.close()


def gigabyte(endpoint: Child) -> None:
    connection = endpoint.connection()
    idle = endpoint.memory()
    for name in ("TabSeparated", "Native", "JSON"):
        connection.request("POST", "/", body=f"SELECT repeat('x', 1000) FROM numbers(1050000) FORMAT {name}")
        response = connection.getresponse()
        peak = size = 0
        while chunk := response.read(1 << 20):
            size += len(chunk)
            peak = max(peak, endpoint.memory())
        print(f"1 GB result, {name:<14} {(peak - idle) >> 20:8d} MiB above idle, {size >> 20} MiB sent    (<= 300)")


def soak(endpoint: Child, seconds: float) -> None:
    """Fifty clients, mixed; one thread each."""
    until, lost, done = time.perf_counter() + seconds, [], []

    def run(number: int) -> None:
        chance, connection, written = random.Random(number), endpoint.connection(), 0
        ask(connection, f"CREATE TABLE soak_{number} (a UInt64, s String) ENGINE = MergeTree ORDER BY a")
        while time.perf_counter() < until:
            match chance.randrange(4):
                case 0:
                    rows = chance.randrange(1, 200)
                    data = "".join(f"{n}\tx{n}\n" for n in range(rows))
                    ask(connection, data, f"/?query=INSERT+INTO+soak_{number}+FORMAT+TabSeparated")
                    written += rows
                case 1:
                    if int(ask(connection, f"SELECT count() FROM soak_{number}")) != written:
                        lost.append(number)
                case 2:
                    ask(connection, "SELECT number, toString(number) FROM numbers(3000) FORMAT JSONEachRow")
                case _:
                    ask(connection, f"CREATE TABLE soak_ddl_{number} AS soak_{number}")
                    ask(connection, f"DROP TABLE soak_ddl_{number} SYNC")
            done.append(1)
        if int(ask(connection, f"SELECT count() FROM soak_{number}")) != written:
            lost.append(number)
        ask(connection, f"DROP TABLE soak_{number} SYNC")

    before, peak = endpoint.memory(), 0
    threads = [threading.Thread(target=run, args=(number,)) for number in range(50)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        peak = max(peak, endpoint.memory())
        time.sleep(0.2)
    print(
        f"50 clients, {seconds:.0f} s           {len(done)} operations, {len(lost)} lost, "
        f"{(peak - before) >> 20} MiB above the start"
    )


def measure() -> Iterator[Section]:
    """The same as the command line, in a process of its own: the engine allows one data directory a process."""
    command = [sys.executable, "-m", "benchmarks.bench_embedded_clickhouse", "--quick", "--soak"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    body = f"`python -m benchmarks.bench_embedded_clickhouse --quick --soak` on {machine()}."
    yield Section("Embedded ClickHouse endpoint", f"{body}\n\n```\n{done.stdout}```")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument("--soak", action="store_true", help="also fifty mixed clients for a minute")
    parser.add_argument("--skeleton", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--loopback", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.skeleton:
        asyncio.run(skeleton(*arguments.skeleton))
        return
    if arguments.loopback:
        loopback(int(arguments.loopback[0]), arguments.loopback[1])
        return
    rounds = 100 if arguments.quick else 500
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        directory = Path(name)
        endpoint, bare = Child("endpoint", directory), Child("skeleton", directory)
        print(
            f"ready after                 {endpoint.ready:8.2f} s    skeleton {bare.ready:8.2f} s    "
            "            (<= 1 s)"
        )
        try:
            small(endpoint, bare, rounds)
            million(endpoint, directory, rounds // 20)
            gigabyte(endpoint)
            if arguments.soak:
                soak(endpoint, 60)
        finally:
            endpoint.stop()
            bare.stop()


if __name__ == "__main__":
    main()
