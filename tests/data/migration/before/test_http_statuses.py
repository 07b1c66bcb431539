"""What a service may answer, one answer for each test."""

from unittest.mock import AsyncMock

import httpx
import pytest


@pytest.fixture
def http():
    return AsyncMock()


async def test_an_impossible_address(http):
    http.post.return_value = httpx.Response(422)
    response = await http.post("/auth/signup", json={"email": "nobody", "password": "secret-123"})
    assert response.status_code == 422


async def test_healthy(http):
    http.get.return_value = httpx.Response(200, json={"status": "ok"})
    response = await http.get("/healthz")
    assert response.json()["status"] == "ok"
    http.get.assert_awaited_once_with("/healthz")
