"""The test itself asks; the mock answers."""

from unittest.mock import AsyncMock, MagicMock

import pytest


@pytest.fixture
def mock_response():
    response = MagicMock()
    response.status_code = 201
    response.json.return_value = {"id": "7", "email": "ada@shop.example", "name": "Ada"}
    return response


@pytest.fixture
def http_client(mock_response):
    client = AsyncMock()
    client.post.return_value = mock_response
    return client


class TestUsers:
    async def test_create_user(self, http_client):
        response = await http_client.post("/api/users", json={"email": "ada@shop.example", "name": "Ada"})
        assert response.status_code == 201
        data = response.json()
        assert data["email"] == "ada@shop.example"
        assert data["name"] == "Ada"
        assert "id" in data

    async def test_address_is_needed(self, http_client, mock_response):
        mock_response.status_code = 422
        response = await http_client.post("/api/users", json={"name": "Nobody"})
        assert response.status_code == 422


async def test_the_answer_is_told_in_place():
    client = AsyncMock()
    client.post.return_value = MagicMock()
    client.post.return_value.status_code = 200
    client.post.return_value.json.return_value = {"access_token": "abc", "token_type": "bearer"}
    response = await client.post("/auth/login", json={"email": "test@example.com", "password": "test123"})
    assert response.status_code == 200
    body = response.json()
    assert "access_token" in body
    assert body["token_type"] == "bearer"
