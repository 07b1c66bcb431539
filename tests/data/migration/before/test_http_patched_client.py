"""The code under test opens its own client."""

from unittest.mock import AsyncMock, Mock, patch

import httpx


async def email_of(user_id):
    async with httpx.AsyncClient(base_url="http://localhost:8000") as client:
        answer = await client.get(f"/api/users/{user_id}")
    return answer.json()["email"] if answer.status_code == 200 else None


@patch("httpx.AsyncClient")
async def test_an_address_is_found(client_class):
    client = AsyncMock()
    client_class.return_value.__aenter__.return_value = client
    client.get.return_value = Mock(
        status_code=200,
        json=lambda: {"id": "7b1d9a52-6f0e-4d0e-8c53-3c1f1f0a9b11", "email": "ada@shop.example"},
    )
    assert await email_of("7b1d9a52-6f0e-4d0e-8c53-3c1f1f0a9b11") == "ada@shop.example"
