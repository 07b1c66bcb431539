"""Whole addresses of our own service."""

from unittest.mock import AsyncMock, Mock

import httpx
import pytest


class Profiles:
    def __init__(self, base_url, client):
        self.base_url = base_url.rstrip("/")
        self.client = client

    async def create(self, email, name):
        try:
            answer = await self.client.post(f"{self.base_url}/api/users", json={"email": email, "name": name})
            answer.raise_for_status()
        except httpx.HTTPStatusError:
            return None
        return answer.json()["name"]


@pytest.fixture
def client():
    return AsyncMock(spec=httpx.AsyncClient)


@pytest.fixture
def profiles(client):
    return Profiles("http://testserver/", client)


async def test_a_profile_is_made(profiles, client):
    client.post.return_value = Mock(status_code=201, json=lambda: {"name": "Ada"})
    assert await profiles.create("ada@shop.example", "Ada") == "Ada"
    client.post.assert_awaited_once_with(
        "http://testserver/api/users", json={"email": "ada@shop.example", "name": "Ada"}
    )


async def test_nonsense_is_no_profile(profiles, client):
    client.post.return_value = httpx.Response(422, request=httpx.Request("POST", "http://testserver/api/users"))
    assert await profiles.create("nonsense", "Ada") is None
