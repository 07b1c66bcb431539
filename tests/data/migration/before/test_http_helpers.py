"""Answers made by a helper; status and keys are asserted."""

import uuid
from unittest.mock import AsyncMock, MagicMock


def make_response(status, body=None):
    response = MagicMock()
    response.status_code = status
    response.json.return_value = body or {}
    return response


async def test_me_needs_a_token():
    api = AsyncMock()
    api.get.return_value = make_response(401, {"detail": "no"})
    response = await api.get("/auth/me")
    assert response.status_code == 401
    assert "detail" in response.json()


async def test_an_unknown_user():
    api = AsyncMock()
    api.get.return_value = make_response(404)
    response = await api.get(f"/api/users/{uuid.uuid4()}")
    assert response.status_code == 404
    api.get.assert_awaited_once()
