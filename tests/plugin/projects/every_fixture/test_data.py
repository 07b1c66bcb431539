"""Rows that many tests need, in plain functions and in coroutines."""

import datetime
import uuid

import argon2
import jwt
import psycopg
import pytest


def test_the_user_is_as_documented(test_user):
    assert isinstance(test_user["id"], uuid.UUID)
    assert test_user["email"] == "test@example.com"
    assert test_user["is_active"] is True
    assert test_user["name"]
    assert test_user["password"] == "test123"
    assert argon2.PasswordHasher().verify(test_user["password_hash"], "test123")


def test_the_organization_is_the_users_and_free(test_organization, test_user):
    assert test_organization["plan"] == "free"
    assert test_organization["owner_id"] == test_user["id"]
    assert test_organization["membership"]["user_id"] == test_user["id"]
    assert test_organization["membership"]["organization_id"] == test_organization["id"]


def test_the_agent_belongs_to_the_organization(test_agent, test_organization):
    assert test_agent["organization_id"] == test_organization["id"]
    assert test_agent["status"] == "active"
    assert test_agent["config"] == {}


def test_the_conversation_has_messages(test_conversation, test_user, test_agent):
    assert test_conversation["user_id"] == test_user["id"]
    assert test_conversation["agent_id"] == test_agent["id"]
    messages = test_conversation["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant", "user"]
    assert all(message["conversation_id"] == test_conversation["id"] for message in messages)
    assert all(isinstance(message["created_at"], datetime.datetime) for message in messages)


def test_the_token_says_who_the_user_is(test_user_token, test_user):
    claims = jwt.decode(test_user_token, "test-framework-signs-tokens-for-tests-only", algorithms=["HS256"])
    assert claims["sub"] == str(test_user["id"])
    assert claims["email"] == "test@example.com"


@pytest.mark.asyncio
async def test_the_rows_are_in_the_tests_own_transaction(real_postgres, test_conversation, test_user):
    row = await real_postgres.fetchrow("SELECT * FROM users WHERE id = $1", test_user["id"])
    assert dict(row)["email"] == test_user["email"]
    count = "SELECT count(*) FROM messages WHERE conversation_id = $1"
    assert await real_postgres.fetchval(count, test_conversation["id"]) == 3


def test_the_rows_are_seen_through_the_address_of_the_test(test_user, isolated_external_postgres):
    with psycopg.connect(isolated_external_postgres.dsn) as connection:
        row = connection.execute("SELECT id FROM users WHERE email = 'test@example.com'").fetchone()
    assert row == (test_user["id"],)


@pytest.mark.asyncio
@pytest.mark.parametrize("again", range(2))
async def test_nothing_of_the_rows_is_left(real_postgres, again, request):
    assert await real_postgres.fetchval("SELECT count(*) FROM users WHERE email = 'test@example.com'") == 0
    request.getfixturevalue("test_user")
    assert await real_postgres.fetchval("SELECT count(*) FROM users WHERE email = 'test@example.com'") == 1
