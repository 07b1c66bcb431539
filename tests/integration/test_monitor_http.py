"""The monitor's web server against clients that behave badly: real sockets, the servers behind it scripted."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from test_framework.endpoints import Endpoints
from test_framework.monitoring.http_server import Limits, Server
from test_framework.monitoring.site import Site, host_name_of
from test_framework.monitoring.watch import Watch
from test_framework.services.base import Health
from test_framework.waiting import Deadline, wait_until
from tests.scripted import Scripted, answering, hanging, probe, seed

PATHS = ("/", "/health-status", "/metrics", "/livez")
LIMITS = Limits()


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


def parse(raw: bytes) -> Answer:
    head, _, body = raw.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Answer(int(first.split()[1]), headers, body)


@dataclass(frozen=True)
class Client:
    server: Server
    watch: Watch
    port: int

    async def raw(self, data: bytes) -> bytes:
        """Send ``data``, read until the server hangs up."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(data)
        answer = await reader.read(-1)
        writer.close()
        return answer

    async def ask(self, path: str, *, method: str = "GET", host: str | None = None, more: str = "") -> Answer:
        host = f"127.0.0.1:{self.port}" if host is None else host
        return parse(await self.raw(f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n".encode("latin-1")))


@asynccontextmanager
async def monitor(*services: Scripted, limits: Limits = LIMITS, timeout: float = 0.05) -> AsyncIterator[Client]:
    names = services or tuple(answering(name) for name in ("redis", "clickhouse"))
    watch = Watch(Endpoints(), interval=0.05, timeout=timeout, services=names)  # type: ignore[arg-type]  # scripted
    server = Server(Site(watch, allowed_hosts=["test-monitor"]), limits)
    port = await server.start("127.0.0.1", 0)
    watching = asyncio.create_task(watch.run())
    try:
        yield Client(server, watch, port)
    finally:
        server.close()
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def until(client: Client, accept: Callable[[dict[str, object]], bool]) -> Answer:
    async def look() -> Answer | None:
        answer = await client.ask("/health-status")
        return answer if accept(json.loads(answer.body)) else None

    found = await wait_until(look, Deadline.after(20.0))
    assert found is not None
    return found


async def test_a_healthy_stack_is_200_and_json() -> None:
    async with monitor() as client:
        answer = await until(client, lambda report: report["status"] == "healthy")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")


async def test_before_the_first_answer_of_a_server_the_status_is_503_starting() -> None:
    async with monitor(answering("redis"), hanging("clickhouse"), timeout=60.0) as client:
        answer = await until(client, lambda report: "address" in report["services"]["redis"])  # type: ignore[index]
        values = json.loads(answer.body)
    assert (answer.status, values["status"]) == (503, "starting")
    assert values["services"]["redis"]["status"] == "healthy"


async def test_a_server_that_hangs_is_unresponsive_and_the_others_are_asked_on() -> None:
    async with monitor(answering("redis"), hanging("clickhouse")) as client:
        await until(client, lambda report: report["services"]["clickhouse"]["status"] == "unresponsive")  # type: ignore[index]
        before = client.watch.probes["redis"]
        asked_on = await wait_until(lambda: _reached(client, "redis", before + 2), Deadline.after(20.0))
    assert asked_on


async def _reached(client: Client, name: str, count: int) -> bool:
    return client.watch.probes[name] >= count


async def test_a_server_that_lost_its_data_is_said_to_have_been_part_of_the_stack() -> None:
    seeds = [seed("stack-a")]

    async def forgetful() -> object:
        return probe("clickhouse", seed=seeds[0] if seeds else None)

    async with monitor(answering("redis"), Scripted("clickhouse", forgetful)) as client:  # type: ignore[arg-type]
        await until(client, lambda report: report["status"] == "healthy")
        seeds.clear()
        answer = await until(client, lambda report: report["status"] == "not_seeded")
    assert answer.status == 503
    assert b"it was part of stack stack-a" in answer.body


@pytest.mark.parametrize("path", PATHS)
async def test_head_gives_the_headers_of_get_and_no_body(path: str) -> None:
    async with monitor(*(answering(name, probe(name, health=Health.FAILED)) for name in ("redis",))) as client:
        got, headed = await client.ask(path), await client.ask(path, method="HEAD")
    assert (headed.status, headed.body) == (got.status, b"")
    assert headed.headers.keys() == got.headers.keys()
    assert int(got.headers["content-length"]) == len(got.body) > 0


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "get", "BREW"])
async def test_other_methods_are_405(method: str) -> None:
    async with monitor() as client:
        answer = await client.ask("/health-status", method=method)
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")
    assert "error" in json.loads(answer.body)


@pytest.mark.parametrize("path", ["/nothing", "//", "/health-status/", "/../etc/passwd", "/%2e%2e/", "*", "http://a/"])
async def test_unknown_paths_are_404_json(path: str) -> None:
    async with monitor() as client:
        answer = await client.ask(path)
    assert answer.status == 404
    assert json.loads(answer.body)["error"] == "no such page"


async def test_a_query_changes_nothing() -> None:
    async with monitor() as client:
        plain = await client.ask("/")
        asked = await client.ask("/?service=redis&sql=DROP%20TABLE%20users")
    assert asked == plain


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:65535", "[::1]:9090", "test-monitor:9090"])
async def test_our_own_names_are_served(host: str) -> None:
    async with monitor() as client:
        assert (await client.ask("/livez", host=host)).status == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil:80", "a@localhost", "[::2]", ""]
)
@pytest.mark.parametrize("path", PATHS)
async def test_foreign_names_are_refused_on_every_page(host: str, path: str) -> None:
    async with monitor() as client:
        answer = await client.ask(path, host=host)
    assert answer.status == 421
    assert "TEST_MONITOR_ALLOWED_HOSTS" in json.loads(answer.body)["error"]


@given(st.text(max_size=40))
def test_a_host_header_yields_a_name_without_port_or_nothing(host: str) -> None:
    name = host_name_of(host)
    assert name == "" or (name in host.lower() and "@" not in name and "/" not in name)


@pytest.mark.parametrize("path", [*PATHS, "/nothing"])
async def test_no_answer_is_stored_sniffed_or_shared_with_other_pages(path: str) -> None:
    async with monitor() as client:
        headers = (await client.ask(path, more="Origin: http://evil.example\r\n")).headers
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert "unsafe" not in headers["content-security-policy"]
    assert "access-control-allow-origin" not in headers
    assert "server" not in headers


async def test_a_request_that_is_not_finished_in_time_is_408() -> None:
    async with monitor(limits=replace(LIMITS, read_seconds=0.1)) as client:
        answer = parse(await client.raw(b"GET / HTTP/1.1\r\nHost: loc"))
    assert answer.status == 408


async def test_a_client_that_never_says_anything_is_cut_off() -> None:
    async with monitor(limits=replace(LIMITS, read_seconds=0.1, linger_seconds=0.1)) as client:
        _, writer = await asyncio.open_connection("127.0.0.1", client.port)
        gone = await wait_until(lambda: _nobody(client), Deadline.after(20.0))
        writer.close()
    assert gone


async def _nobody(client: Client) -> bool:
    return not client.server.open


@pytest.mark.parametrize("size", [8192, 20_000, 10 * 1024 * 1024])
async def test_a_request_line_longer_than_the_limit_is_431_however_long(size: int) -> None:
    async with monitor() as client:
        answer = parse(await client.raw(b"GET /" + b"a" * size + b" HTTP/1.1\r\nHost: localhost\r\n\r\n"))
    assert answer.status == 431


async def test_headers_longer_than_the_limit_are_431() -> None:
    async with monitor() as client:
        answer = await client.ask("/", more="".join(f"X-{n}: {'a' * 90}\r\n" for n in range(100)))
    assert answer.status == 431


async def test_a_request_just_below_the_limit_is_answered() -> None:
    start, end = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX: ", b"\r\n\r\n"
    async with monitor() as client:
        answer = parse(await client.raw(start + b"a" * (8192 - len(start) - len(end)) + end))
    assert answer.status == 200


async def test_a_body_of_ten_megabytes_gets_its_answer_and_is_not_kept() -> None:
    body = b"x" * (10 * 1024 * 1024)
    head = f"POST /health-status HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    async with monitor() as client:
        answer = parse(await client.raw(head + body))
    assert answer.status == 405


async def test_only_the_first_of_several_requests_on_one_connection_is_answered() -> None:
    request = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
    async with monitor() as client:
        answer = await client.raw(request * 20)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert parse(answer).headers["connection"] == "close"


async def test_more_connections_than_the_limit_push_out_the_oldest_and_the_newest_is_served() -> None:
    async with monitor(limits=replace(LIMITS, connections=4)) as client:
        idle = [await asyncio.open_connection("127.0.0.1", client.port) for _ in range(40)]
        answer = await client.ask("/livez")
        open_now = len(client.server.open)
        for _, writer in idle:
            writer.close()
    assert answer.status == 200
    assert open_now <= 4


async def test_metrics_parse_and_say_the_same_as_the_report() -> None:
    failed = probe("clickhouse", health=Health.FAILED)
    async with monitor(answering("redis"), answering("clickhouse", failed)) as client:
        await until(client, lambda report: report["status"] == "unhealthy")
        answer = await client.ask("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    families = {family.name: family for family in text_string_to_metric_families(answer.body.decode())}
    assert _samples(families["test_stack_up"]) == {"redis": 1.0, "clickhouse": 0.0}
    assert _samples(families["test_stack_seeded"]) == {"redis": 1.0, "clickhouse": 0.0}
    assert families["test_stack_healthy"].samples[0].value == 0
    states = {sample.labels["status"]: sample.value for sample in families["test_stack_status"].samples}
    assert [state for state, value in states.items() if value] == ["unhealthy"]
    failures = {
        (sample.labels["service"], sample.labels["reason"]): sample.value
        for sample in families["test_stack_probe_failures"].samples
        if sample.name == "test_stack_probe_failures_total"
    }
    assert failures["clickhouse", "failed"] > 0 == failures["redis", "failed"]


def _samples(family: object) -> dict[str, float]:
    return {sample.labels["service"]: sample.value for sample in family.samples}  # type: ignore[attr-defined]


_pieces = st.sampled_from(
    [
        *(b"GET ", b"HEAD ", b"POST ", b"/", b"/health-status", b"/metrics"),
        *(b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", b" HTTP/9.9\r\n", b"\r\n", b"\n", b"\0", b"\xff\xfe"),
        *(b"Host: localhost\r\n", b"Host: \r\n", b": \r\n", b" folded\r\n"),
        *(b"Content-Length: 5\r\n", b"Content-Length: -1\r\n", b"Content-Length: 9" + b"9" * 30),
        *(b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: gzip\r\n", b"Expect: 100-continue\r\n"),
        b"Upgrade: websocket\r\nConnection: upgrade\r\n",
    ]
)
_requests = st.one_of(
    st.binary(max_size=300),
    st.lists(_pieces, max_size=12).map(b"".join),
    st.lists(st.one_of(_pieces, st.binary(max_size=20)), max_size=12).map(b"".join),
)


@given(st.lists(_requests, min_size=20, max_size=20))
@example([b"GET / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\n"])
@example([b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"])
@settings(max_examples=60, deadline=None)
def test_whatever_bytes_come_the_answer_is_no_server_error_and_the_next_client_is_served(requests: list[bytes]) -> None:
    async def attack() -> None:
        async with monitor(limits=replace(LIMITS, read_seconds=0.05, linger_seconds=0.05)) as client:
            for answer in await asyncio.gather(*(client.raw(request) for request in requests), return_exceptions=True):
                assert isinstance(answer, bytes | ConnectionResetError)
                if isinstance(answer, bytes) and answer:
                    assert parse(answer).status in {200, 400, 404, 405, 408, 421, 431, 503}
            assert (await client.ask("/livez")).status == 200

    asyncio.run(attack())
