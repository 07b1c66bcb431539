"""The reference service over a real socket, on real databases."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import asyncpg
import jwt
import pytest
from redis.asyncio import Redis

from test_framework.external.application import reference_application
from test_framework.external.backing import Backing
from test_framework.external.http import HttpResource
from test_framework.external.serving import RunningService, running_service, start_service
from test_framework.external.websocket import WebSocketClient

PASSWORD = "canary-4711-password"
SEEDED_USER = "bruno.moreau@northwind-tools.example"


@pytest.fixture(scope="module")
def service(backing: Backing) -> Iterator[RunningService]:
    running = start_service(reference_application(), backing)
    yield running
    running.stop()


@pytest.fixture
async def http(service: RunningService) -> AsyncIterator[HttpResource]:
    async with HttpResource(service.url) as client:
        yield client


@pytest.fixture
async def ws(service: RunningService) -> AsyncIterator[WebSocketClient]:
    async with WebSocketClient(service.websocket_url) as client:
        yield client


@pytest.fixture
async def redis(backing: Backing) -> AsyncIterator[Redis]:
    assert backing.redis_url
    async with Redis.from_url(backing.redis_url, decode_responses=True) as client:
        yield client


async def member(http: HttpResource) -> dict[str, Any]:
    """Somebody new, logged in with this client."""
    email = f"{uuid.uuid4().hex}@company.example"
    assert (await http.auth_signup(email, PASSWORD, name="Ada")).status_code == 201
    login = await http.auth_login(email, PASSWORD)
    assert login.status_code == 200
    return dict(login)


async def sql(backing: Backing, query: str, *args: object) -> Any:
    connection = await asyncpg.connect(backing.database_url, statement_cache_size=0)
    try:
        return await connection.fetchval(query, *args)
    finally:
        await connection.close()


async def test_a_password_is_stored_as_an_argon2_hash(http: HttpResource, backing: Backing) -> None:
    me = (await member(http))["user"]
    stored = await sql(backing, "SELECT password_hash FROM auth.users WHERE id = $1", uuid.UUID(me["id"]))
    assert stored.startswith("$argon2id$")


async def test_an_email_can_sign_up_once_in_whatever_case(http: HttpResource) -> None:
    email = f"{uuid.uuid4().hex}@company.example"
    assert (await http.auth_signup(email, PASSWORD)).status_code == 201
    again = await http.auth_signup(email.upper(), PASSWORD)
    assert (again.status_code, again["code"]) == (409, "conflict")


@pytest.mark.parametrize("email", [SEEDED_USER, "nobody@company.example"])
async def test_a_wrong_password_and_an_unknown_user_are_told_apart_by_nothing(http: HttpResource, email: str) -> None:
    answer = await http.auth_login(email, "wrong-password")
    assert (answer.status_code, answer["code"]) == (401, "wrong_credentials")
    assert "Authorization" not in (await http.get("/healthz")).request.headers


async def test_a_seeded_user_logs_in_and_gets_a_hash_of_today(http: HttpResource, backing: Backing) -> None:
    login = await http.auth_login(SEEDED_USER, "seeded-password")
    assert login["user"]["email"] == SEEDED_USER
    stored = await sql(backing, "SELECT password_hash FROM auth.users WHERE email = $1", SEEDED_USER)
    assert stored.startswith("$argon2id$")
    assert (await http.auth_login(SEEDED_USER, "seeded-password")).status_code == 200


async def test_a_user_who_is_not_active_cannot_log_in(http: HttpResource, backing: Backing) -> None:
    me = (await member(http))["user"]
    await sql(backing, "UPDATE auth.users SET is_active = false WHERE id = $1", uuid.UUID(me["id"]))
    assert (await http.get("/auth/me")).status_code == 401
    assert (await http.auth_login(me["email"], PASSWORD)).status_code == 403


async def test_a_session_is_a_hash_in_redis_that_expires(http: HttpResource, redis: Any) -> None:
    login = await member(http)
    key = f"session:{login['session_id']}"
    session = await redis.hgetall(key)
    assert (session["user_id"], session["email"]) == (login["user"]["id"], login["user"]["email"])
    assert 0 < await redis.ttl(key) <= 14 * 24 * 3600


async def test_a_session_that_is_deleted_in_redis_is_over(http: HttpResource, redis: Any) -> None:
    login = await member(http)
    await redis.delete(f"session:{login['session_id']}")
    answer = await http.get("/auth/me")
    assert (answer.status_code, answer.json()["code"]) == (401, "session_ended")


async def test_refreshing_gives_new_tokens_of_the_same_session(http: HttpResource) -> None:
    login = await member(http)
    second = await http.auth_refresh()
    assert second["session_id"] == login["session_id"]
    assert second["refresh_token"] != login["refresh_token"]
    assert (await http.auth_refresh()).status_code == 200


async def test_a_refresh_token_that_is_used_twice_ends_its_session(http: HttpResource) -> None:
    login = await member(http)
    second = await http.auth_refresh(login["refresh_token"])
    reused = await http.auth_refresh(login["refresh_token"])
    assert (reused.status_code, reused["code"]) == (401, "token_reused")
    assert (await http.auth_refresh(second["refresh_token"])).status_code == 401
    assert (await http.get("/auth/me")).status_code == 401


async def test_of_many_who_refresh_at_once_one_succeeds(http: HttpResource) -> None:
    login = await member(http)
    answers = await asyncio.gather(*(http.auth_refresh(login["refresh_token"]) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] + [401] * 7


async def test_logging_out_ends_access_and_refresh_tokens(http: HttpResource, redis: Any) -> None:
    login = await member(http)
    assert (await http.auth_logout()).status_code == 204
    assert not await redis.exists(f"session:{login['session_id']}")
    bearer = {"Authorization": f"Bearer {login['access_token']}"}
    assert (await http.get("/auth/me", headers=bearer)).status_code == 401
    assert (await http.auth_refresh(login["refresh_token"])).status_code == 401


async def test_tokens_that_are_forged_expired_or_of_another_kind_are_refused(
    http: HttpResource, backing: Backing
) -> None:
    login = await member(http)
    secret = backing.jwt_secret.reveal()
    claims = jwt.decode(login["access_token"], secret, algorithms=["HS256"])
    bad = [
        jwt.encode(claims, "another-secret-of-at-least-32-bytes", algorithm="HS256"),
        jwt.encode({**claims, "exp": claims["iat"] - 1}, secret, algorithm="HS256"),
        jwt.encode(claims, None, algorithm="none"),
        login["refresh_token"],
        "no.token.atall",
    ]
    for token in bad:
        answer = await http.get("/auth/me", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 401, token
        assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_user_is_made_read_changed_and_deleted(http: HttpResource) -> None:
    me = (await member(http))["user"]
    made = await http.post("/api/users", json={"email": f"{uuid.uuid4().hex}@company.example"})
    assert made.status_code == 201
    other = made.json()["id"]
    assert (await http.get(f"/api/users/{other}")).json()["email"] == made.json()["email"]
    assert (await http.patch(f"/api/users/{me['id']}", json={"name": "Grace"})).json()["name"] == "Grace"
    assert (await http.patch(f"/api/users/{other}", json={"name": "Grace"})).status_code == 403
    assert (await http.patch(f"/api/users/{me['id']}", json={"role": "admin"})).status_code == 403
    assert (await http.delete(f"/api/users/{other}")).status_code == 403
    assert (await http.delete(f"/api/users/{me['id']}")).status_code == 204
    assert (await http.get(f"/api/users/{me['id']}")).status_code == 404
    assert (await http.get("/auth/me")).status_code == 401


async def test_organizations_are_seen_by_members_and_changed_by_their_owners(
    http: HttpResource, service: RunningService
) -> None:
    me = (await member(http))["user"]
    organization = (await http.post("/api/organizations", json={"name": "Mine"})).json()
    assert organization["owner_id"] == me["id"]
    path = f"/api/organizations/{organization['id']}"
    async with HttpResource(service.url) as other:
        them = (await member(other))["user"]
        assert (await other.get(path)).status_code == 404
        assert (await http.post(f"{path}/members", json={"user_id": them["id"]})).status_code == 201
        assert (await http.post(f"{path}/members", json={"user_id": them["id"]})).status_code == 409
        assert (await other.get(path)).json() == organization
        assert (await other.patch(path, json={"name": "Theirs"})).status_code == 403
        assert (await other.delete(f"{path}/members/{me['id']}")).status_code == 403
        assert (await other.delete(f"{path}/members/{them['id']}")).status_code == 204
    assert (await http.delete(f"{path}/members/{me['id']}")).status_code == 409
    assert (await http.patch(path, json={"plan": "pro"})).json()["plan"] == "pro"
    assert (await http.delete(path)).status_code == 204


async def test_agents_belong_to_an_organization_and_have_names_of_their_own(http: HttpResource) -> None:
    await member(http)
    organization = (await http.post("/api/organizations", json={"name": "Mine"})).json()["id"]
    new = {"organization_id": organization, "name": "Writer"}
    agent = (await http.post("/api/agents", json=new)).json()
    assert (await http.post("/api/agents", json=new)).status_code == 409
    assert (await http.post("/api/agents", json={**new, "organization_id": str(uuid.uuid4())})).status_code == 404
    assert (await http.patch(f"/api/agents/{agent['id']}", json={"status": "paused"})).json()["status"] == "paused"
    assert [each["id"] for each in (await http.get("/api/agents")).json()["items"]] == [agent["id"]]
    assert (await http.delete(f"/api/agents/{agent['id']}")).status_code == 204


async def test_conversations_have_messages_in_order_and_pages(http: HttpResource, service: RunningService) -> None:
    await member(http)
    path = f"/api/conversations/{(await http.post('/api/conversations', json={})).json()['id']}"
    for number in range(5):
        assert (await http.post(f"{path}/messages", json={"content": str(number)})).status_code == 201
    said, cursor, pages = [], None, 0
    while pages == 0 or cursor:
        page = (
            await http.get(f"{path}/messages", params={"limit": 2, **({"cursor": cursor} if cursor else {})})
        ).json()
        said += [each["content"] for each in page["items"]]
        cursor, pages = page["next_cursor"], pages + 1
    assert (said, pages) == (["0", "1", "2", "3", "4"], 3)
    async with HttpResource(service.url) as other:
        await member(other)
        assert (await other.get(f"{path}/messages")).status_code == 404
    assert (await http.patch(path, json={"status": "closed"})).status_code == 200
    assert (await http.post(f"{path}/messages", json={"content": "late"})).status_code == 409


@pytest.mark.parametrize(
    "body",
    [
        b'{"email": "\\u0000@company.example"}',
        b'{"email": "\\ud800@company.example"}',
        b'{"email": "nobody"}',
        b'{"email": "a@b.example", "nmae": "misspelt"}',
        b"{",
        b"[]",
    ],
)
async def test_a_body_that_is_not_as_described_is_refused_with_a_reason(http: HttpResource, body: bytes) -> None:
    answer = await http.post("/api/users", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert answer.json()["errors"]


async def test_no_refusal_repeats_what_was_sent(http: HttpResource) -> None:
    answer = await http.auth_signup("nobody", PASSWORD)
    assert answer.status_code == 422
    assert PASSWORD not in answer.text


async def test_an_event_is_stored_as_it_is_answered(http: HttpResource, backing: Backing) -> None:
    me = (await member(http))["user"]
    sent = {"event_type": "page_view", "path": "/a", "duration_ms": 7, "properties": {"k": "v"}}
    answer = (await http.post("/api/events", json={**sent, "event_time": "2026-01-02T03:04:05.678901+01:00"})).json()
    assert {name: answer[name] for name in sent} == sent
    assert (answer["user_id"], answer["event_time"]) == (me["id"], "2026-01-02T02:04:05.678000Z")


async def test_without_clickhouse_events_are_refused_and_the_rest_works(backing: Backing) -> None:
    async with (
        running_service(reference_application(), replace(backing, clickhouse=None)) as service,
        HttpResource(service.url) as http,
    ):
        health = (await http.get("/healthz")).json()
        assert health == {"status": "ok", "services": {"postgres": "ok", "redis": "ok"}}
        answer = await http.post("/api/events", json={"event_type": "a"})
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")


async def test_two_services_at_once_have_databases_of_their_own(backing: Backing, redis: Any) -> None:
    assert backing.redis
    other = replace(backing, redis=replace(backing.redis, database=7))
    async with (
        running_service(reference_application(), backing) as first,
        running_service(reference_application(), other) as second,
        HttpResource(first.url) as http,
    ):
        login = await member(http)
        bearer = {"Authorization": f"Bearer {login['access_token']}"}
        assert (await http.get(f"{first.url}/auth/me", headers=bearer)).status_code == 200
        assert (await http.get(f"{second.url}/auth/me", headers=bearer)).status_code == 401


async def test_keys_have_the_prefix_of_a_redis_with_too_few_databases(backing: Backing, redis: Any) -> None:
    prefixed = replace(backing, redis_key_prefix="test:gw0_1:")
    async with running_service(reference_application(), prefixed) as service, HttpResource(service.url) as http:
        login = await member(http)
        assert await redis.exists(f"test:gw0_1:session:{login['session_id']}")
        assert not await redis.exists(f"session:{login['session_id']}")


async def test_no_log_line_holds_a_password_or_a_token(
    http: HttpResource, backing: Backing, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        login = await member(http)
        await http.auth_refresh()
        await http.post("/api/users", json={"email": "nobody", "password": PASSWORD})
    assert caplog.records
    texts = [PASSWORD, login["access_token"], login["refresh_token"], backing.jwt_secret.reveal()]
    assert not [text for text in texts if text in caplog.text]


async def test_the_chat_answers_in_order_and_refuses_what_it_does_not_know(ws: WebSocketClient) -> None:
    await ws.connect("/ws/chat")
    for message in ({"type": "message", "content": 1}, {"type": "nonsense"}, "no json", b"\x00", {"type": "ping"}):
        await ws.send(message)
    answers = [await ws.receive_json() for _ in range(5)]
    assert [answer.get("code", answer["type"]) for answer in answers] == [
        "message_received", "unknown_type", "invalid", "invalid", "pong",
    ]  # fmt: skip


async def test_a_bad_token_closes_the_chat_and_a_good_one_names_the_user(
    ws: WebSocketClient, http: HttpResource
) -> None:
    await ws.connect("/ws/chat", token="bad")
    assert await ws.connection.wait_closed() == 4401
    login = await member(http)
    await ws.connect("/ws/chat")
    await ws.send({"type": "authenticate", "token": login["access_token"]})
    assert (await ws.receive_json())["user_id"] == login["user"]["id"]


async def test_conversations_of_others_are_closed_to_the_chat(ws: WebSocketClient, http: HttpResource) -> None:
    login = await member(http)
    mine = (await http.post("/api/conversations", json={})).json()["id"]
    message = {"type": "message", "content": "hello", "conversation_id": mine}
    await ws.connect("/ws/chat")
    await ws.send(message)
    assert (await ws.receive_json())["code"] == "not_logged_in"
    await ws.connect("/ws/chat", token=login["access_token"])
    await ws.send({**message, "conversation_id": str(uuid.uuid4())})
    assert (await ws.receive_json())["code"] == "not_found"
    await ws.send(message)
    assert (await ws.receive_json())["type"] == "message_received"


async def test_events_reach_all_who_listen(ws: WebSocketClient, http: HttpResource) -> None:
    listeners = [await ws.connect("/ws/events") for _ in range(3)]
    speaker = await ws.connect("/ws/events")
    await speaker.send({"type": "event", "event_type": "clicked"})
    answers = [await speaker.receive_json() for _ in range(2)]
    recorded = next(each for each in answers if each["type"] == "event_recorded")
    for listener in listeners:
        heard = await listener.receive_json()
        assert (heard["type"], heard["event_id"]) == ("event", recorded["event_id"])
