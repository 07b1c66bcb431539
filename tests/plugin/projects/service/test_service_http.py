"""The reference service on the test's own databases, in coroutines and in plain functions."""

import json
import os
import urllib.request

import pytest


@pytest.mark.asyncio
async def test_the_service_and_the_test_see_the_same_rows(real_http_client, real_postgres):
    answer = await real_http_client.post("/api/users", json={"email": "mine@example.com", "name": "Mine"})
    assert answer.status_code == 201
    row = await real_postgres.fetchrow("SELECT id, name FROM users WHERE email = 'mine@example.com'")
    assert (str(row["id"]), row["name"]) == (answer.json()["id"], "Mine")
    await real_postgres.execute("UPDATE users SET name = 'Changed' WHERE id = $1", row["id"])
    assert (await real_http_client.get(f"/api/users/{row['id']}")).json()["name"] == "Changed"


@pytest.mark.asyncio
@pytest.mark.parametrize("again", range(3))
async def test_nothing_of_it_is_left_for_the_next_test(real_http_client, again):
    assert (await real_http_client.auth_signup("mine@example.com", "secret-123")).status_code == 201


@pytest.mark.asyncio
async def test_a_login_is_carried_on_and_its_session_is_in_the_tests_redis(real_http_client, real_redis):
    signup = await real_http_client.auth_signup("mine@example.com", "secret-123")
    assert signup["email"] == "mine@example.com"
    assert (await real_http_client.get("/auth/me")).status_code == 401
    login = await real_http_client.auth_login("mine@example.com", "secret-123")
    assert login["access_token"]
    assert (await real_http_client.get("/auth/me")).json()["id"] == signup["id"]
    session = await real_redis.hgetall(f"session:{login['session_id']}")
    assert session["user_id"] == signup["id"]


@pytest.mark.asyncio
async def test_the_user_of_the_fixtures_can_log_in(real_http_client, test_user):
    login = await real_http_client.auth_login(test_user["email"], test_user["password"])
    assert login["user"]["id"] == str(test_user["id"])


@pytest.mark.asyncio
async def test_the_token_of_the_fixtures_is_good(real_http_client, test_user, test_user_token, test_conversation):
    real_http_client.use_token(test_user_token)
    assert (await real_http_client.get("/auth/me")).json()["email"] == test_user["email"]
    messages = await real_http_client.get(f"/api/conversations/{test_conversation['id']}/messages")
    assert [each["role"] for each in messages.json()["items"]] == ["user", "assistant", "user"]


@pytest.mark.asyncio
async def test_an_event_is_in_the_tests_clickhouse_when_the_answer_comes(real_http_client, real_clickhouse):
    answer = await real_http_client.post("/api/events", json={"event_type": "mine", "properties": {"a": "b"}})
    assert answer.status_code == 201
    rows = await real_clickhouse.execute("SELECT event_id, properties FROM user_events WHERE event_type = 'mine'")
    assert [(str(event), properties) for event, properties in rows] == [(answer.json()["event_id"], {"a": "b"})]


def test_a_plain_function_has_the_address(service_url, test_user):
    body = json.dumps({"email": test_user["email"], "password": "test123"}).encode()
    request = urllib.request.Request(f"{service_url}/auth/login", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        assert json.load(answer)["user"]["email"] == test_user["email"]


def test_a_plain_function_learns_that_the_client_is_asynchronous(real_http_client):
    with pytest.raises(Exception, match="take service_url"):
        real_http_client.get("/healthz")


@pytest.mark.asyncio
async def test_the_manager_knows_the_address_of_the_same_service(real_services, real_http_client):
    assert real_services.config.auth_service_url == str(real_http_client.base_url).rstrip("/")
    async with real_services.postgres.connection() as connection:
        await connection.execute("INSERT INTO users (email) VALUES ('mine@example.com')")
    assert (await real_http_client.auth_signup("mine@example.com", "secret-123")).status_code == 409


@pytest.mark.asyncio
async def test_the_reference_service_changes_no_variable(service_url):
    assert "DATABASE_URL" not in os.environ


@pytest.mark.requires_http
@pytest.mark.requires_websocket
def test_the_markers_are_known():
    pass
