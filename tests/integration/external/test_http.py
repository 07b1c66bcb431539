"""The HTTP client against a server that misbehaves on purpose, over real sockets."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

import httpx
import psutil
import pytest

from test_framework.errors import FrameworkError
from test_framework.external.application import Application
from test_framework.external.backing import Backing
from test_framework.external.http import BreakerPolicy, CircuitOpen, HttpResource, HttpTimeouts, RetryPolicy
from test_framework.external.http_sent import SentRequests
from test_framework.external.serving import RunningService, running_service
from tests.servers import free_port

CANARY = "canary-4711"
QUICK = RetryPolicy(attempts=3, first_wait=0.001, longest_wait=0.01)


class Script:
    """An application that answers with the statuses it was given, then 200; notes what it was asked."""

    def __init__(self) -> None:
        self.statuses: deque[int] = deque()
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        self.headers: list[tuple[bytes, bytes]] = []
        self.body: Any = {}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            raise NotImplementedError
        body = (await receive())["body"]
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.asked.append((scope["method"], scope["path"], headers, body))
        status = self.statuses.popleft() if self.statuses else 200
        if status == 0:
            await asyncio.sleep(3600)
        content = json.dumps(self.body).encode()
        head = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content)), *self.headers]
        await send({"type": "http.response.start", "status": status, "headers": head})
        await send({"type": "http.response.body", "body": content})

    @property
    def methods(self) -> list[str]:
        return [method for method, *_ in self.asked]

    @property
    def authorizations(self) -> list[str | None]:
        return [headers.get("authorization") for _, _, headers, _ in self.asked]


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
async def service(script: Script) -> AsyncIterator[RunningService]:
    async with running_service(Application(name="tests:script", target=script, factory=False), Backing()) as running:
        yield running


@pytest.fixture
async def http(service: RunningService) -> AsyncIterator[HttpResource]:
    async with HttpResource(service.url, retries=QUICK) as client:
        yield client


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("status", [429, 502, 503, 504])
async def test_an_idempotent_request_is_repeated_while_the_service_is_busy(
    http: HttpResource, script: Script, method: str, status: int
) -> None:
    script.statuses.extend([status, status])
    assert (await http.request(method, "/a")).status_code == 200
    assert script.methods == [method] * 3


async def test_the_last_answer_of_a_service_that_stays_busy_is_the_answer(http: HttpResource, script: Script) -> None:
    script.statuses.extend([503] * 10)
    assert (await http.get("/a")).status_code == 503
    assert len(script.asked) == QUICK.attempts


@pytest.mark.parametrize("method", ["POST", "PATCH"])
async def test_a_request_that_may_not_be_repeated_is_not(http: HttpResource, script: Script, method: str) -> None:
    script.statuses.append(503)
    assert (await http.request(method, "/a", json={})).status_code == 503
    assert len(script.asked) == 1


async def test_a_key_makes_a_post_repeatable_with_the_same_body(http: HttpResource, script: Script) -> None:
    script.statuses.append(503)
    answer = await http.post("/a", json={"n": 1}, headers={"Idempotency-Key": "k"})
    assert answer.status_code == 200
    assert [json.loads(body) for *_, body in script.asked] == [{"n": 1}, {"n": 1}]


@pytest.mark.parametrize("status", [400, 401, 404, 409, 422, 500])
async def test_an_answer_that_repeating_does_not_change_is_given_at_once(
    http: HttpResource, script: Script, status: int
) -> None:
    script.statuses.append(status)
    assert (await http.get("/a")).status_code == status
    assert len(script.asked) == 1


async def test_a_body_that_can_be_read_once_is_sent_once(http: HttpResource, script: Script) -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b"x"

    script.statuses.append(503)
    assert (await http.put("/a", content=parts())).status_code == 503
    assert len(script.asked) == 1


async def test_a_retry_waits_as_long_as_the_service_asks(script: Script, service: RunningService) -> None:
    script.headers = [(b"retry-after", b"3600")]
    script.statuses.append(503)
    patience = RetryPolicy(attempts=2, first_wait=1000.0, longest_wait=0.01)
    async with HttpResource(service.url, retries=patience) as http:
        assert (await http.get("/a")).status_code == 200


async def test_an_answer_that_does_not_come_in_time_is_asked_for_again(script: Script, service: RunningService) -> None:
    script.statuses.append(0)
    async with HttpResource(service.url, timeouts=HttpTimeouts(answer=0.2), retries=QUICK) as http:
        assert (await http.get("/a")).status_code == 200
        assert [exchange.outcome for exchange in http.log.exchanges] == ["ReadTimeout", "200"]


async def test_a_host_that_gives_no_answer_is_given_up() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    breaker = BreakerPolicy(failures=3, seconds=3600)
    async with HttpResource(url, retries=RetryPolicy(attempts=1), breaker=breaker) as http:
        for _ in range(3):
            with pytest.raises(httpx.ConnectError):
                await http.get("/a")
        with pytest.raises(CircuitOpen, match="3 times in a row") as caught:
            await http.get("/a")
        assert isinstance(caught.value, httpx.TransportError)
        assert "ConnectError" in str(caught.value)
        assert http.log.exchanges[-1].outcome == "not sent, the circuit is open"


async def test_a_host_that_is_given_up_does_not_stop_requests_to_others(http: HttpResource) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    for _ in range(3):
        with pytest.raises(httpx.TransportError):
            await http.get(nobody)
    with pytest.raises(CircuitOpen):
        await http.get(nobody)
    assert (await http.get("/a")).status_code == 200


async def test_a_host_that_was_given_up_gets_another_chance(script: Script, service: RunningService) -> None:
    breaker = BreakerPolicy(failures=1, seconds=0.05)
    timeouts = HttpTimeouts(answer=0.2)
    async with HttpResource(service.url, timeouts=timeouts, retries=RetryPolicy(attempts=1), breaker=breaker) as http:
        script.statuses.append(0)
        with pytest.raises(httpx.ReadTimeout):
            await http.get("/a")
        while True:  # bounded by the test's time limit
            try:
                answer = await http.get("/a")
                break
            except CircuitOpen:
                await asyncio.sleep(0.01)
        assert answer.status_code == 200


async def test_answers_of_whatever_status_never_open_the_circuit(script: Script, service: RunningService) -> None:
    script.statuses.extend([500] * 20)
    async with HttpResource(service.url, breaker=BreakerPolicy(failures=2, seconds=3600)) as http:
        for _ in range(20):
            assert (await http.get("/a")).status_code == 500


async def test_a_request_that_is_cancelled_is_not_held_against_the_host(
    script: Script, service: RunningService
) -> None:
    script.statuses.append(0)
    async with HttpResource(service.url, breaker=BreakerPolicy(failures=1, seconds=3600)) as http:
        task = asyncio.create_task(http.get("/a"))
        while not script.asked:  # bounded by the test's time limit
            await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await http.get("/a")).status_code == 200


async def test_a_login_is_carried_on_to_the_service_and_to_nobody_else(http: HttpResource, script: Script) -> None:
    other_script = Script()
    other_app = Application(name="tests:other", target=other_script, factory=False)
    script.body = {"access_token": CANARY, "refresh_token": "r"}
    async with running_service(other_app, Backing()) as other:
        answer = await http.auth_login("a@b.example", "secret-123")
        assert (answer["access_token"], answer.status_code) == (CANARY, 200)
        await http.get("/a")
        await http.get("/a", headers={"Authorization": "Bearer mine"})
        await http.get(f"{other.url}/a")
        http.forget_token()
        await http.get("/a")
    assert script.authorizations == [None, f"Bearer {CANARY}", "Bearer mine", None]
    assert other_script.authorizations == [None]


async def test_a_login_that_fails_is_an_answer_and_nothing_is_carried_on(http: HttpResource, script: Script) -> None:
    script.statuses.append(401)
    script.body = {"code": "wrong_credentials", "access_token": CANARY}
    answer = await http.auth_login("a@b.example", "secret-123")
    assert (answer.status_code, answer["code"]) == (401, "wrong_credentials")
    with pytest.raises(httpx.HTTPStatusError):
        answer.raise_for_status()
    await http.get("/a")
    assert script.authorizations[-1] is None


async def test_authentication_may_be_elsewhere(http: HttpResource, script: Script, service: RunningService) -> None:
    del http
    other_script = Script()
    other_app = Application(name="tests:other", target=other_script, factory=False)
    async with (
        running_service(other_app, Backing()) as other,
        HttpResource(other.url, auth_url=f"{service.url}/v1") as client,
    ):
        await client.auth_signup("a@b.example", "secret-123", name="Ada")
        await client.get("/a")
    assert [path for _, path, *_ in script.asked] == ["/v1/auth/signup"]
    assert json.loads(script.asked[0][3]) == {"email": "a@b.example", "password": "secret-123", "name": "Ada"}
    assert [path for _, path, *_ in other_script.asked] == ["/a"]


async def test_neither_log_nor_repr_shows_what_is_secret(http: HttpResource, script: Script) -> None:
    script.body = {"access_token": CANARY, "refresh_token": CANARY}
    answer = await http.auth_login("a@b.example", CANARY)
    await http.get(f"/a?access_token={CANARY}&page=2&api_key={CANARY}#{CANARY}")
    await http.get(str(http.base_url).replace("://", f"://user:{CANARY}@"))
    text = http.log.text()
    assert CANARY not in text + repr(answer) + repr(http.log.exchanges)
    assert "page=2" in text
    assert text.splitlines()[0].startswith(f"POST {str(http.base_url).rstrip('/')}/auth/login → 200 (")


async def test_a_proxy_of_the_environment_is_passed_by(
    monkeypatch: pytest.MonkeyPatch, service: RunningService
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    async with HttpResource(service.url) as http:
        assert (await http.get("/a")).status_code == 200


async def test_a_mistake_of_the_caller_is_neither_repeated_nor_held_against_the_host(service: RunningService) -> None:
    async with HttpResource(service.url, breaker=BreakerPolicy(failures=1, seconds=3600)) as http:
        with pytest.raises(httpx.UnsupportedProtocol):
            await http.get("ftp://127.0.0.1/a")
        assert len(http.log.exchanges) == 1
        assert (await http.get("/a")).status_code == 200


def test_one_client_serves_several_loops_and_leaves_no_socket(script: Script) -> None:
    before = len(psutil.Process().net_connections("tcp"))
    application = Application(name="tests:script", target=script, factory=False)

    async def ask(client: HttpResource) -> int:
        return (await client.get("/a")).status_code

    async def main(client: HttpResource, url: str) -> None:
        client.base_url = httpx.URL(url)
        assert await ask(client) == 200
        assert await asyncio.to_thread(asyncio.run, ask(client)) == 200

    async def served() -> None:
        client = HttpResource("http://127.0.0.1")
        async with running_service(application, Backing()) as running:
            await main(client, running.url)

    asyncio.run(served())
    assert len(psutil.Process().net_connections("tcp")) == before


def test_where_no_loop_runs_it_names_what_to_take_instead() -> None:
    client = HttpResource("http://127.0.0.1:1")
    calls: list[Any] = [client.get, client.post, client.delete, client.stream]
    for call in calls:
        with pytest.raises(FrameworkError, match="service_url"):
            call("/a")


async def test_what_was_sent_is_told_once_however_often_it_was_repeated(script: Script, http: HttpResource) -> None:
    script.statuses.extend([503])
    http.use_token("t")
    await http.get("/users/ada lovelace", params={"page": 2})
    await http.post("/auth/login", json={"password": CANARY})
    assert script.methods == ["GET", "GET", "POST"]
    (listed,) = http.sent("get", "/users/ada lovelace")
    assert (listed.params, listed.json, listed.headers["authorization"]) == ({"page": "2"}, None, "Bearer t")
    assert [each.json for each in http.sent("POST")] == [{"password": CANARY}]
    assert [each.path for each in http.sent()] == ["/users/ada lovelace", "/auth/login"]
    assert CANARY not in repr(http.sent())


async def test_paths_are_told_below_the_address_of_the_service() -> None:
    sent = SentRequests("http://api.example/v1", "http://api.example")
    for url in ("http://api.example/v1/users", "http://api.example/v2/users", "http://other.example/v1/users"):
        sent.add(httpx.Request("GET", url))
    assert [each.path for each in sent()] == ["/users", "/v2/users", "/v1/users"]
