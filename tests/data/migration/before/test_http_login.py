"""A client of our own service, with a fixture that gives its mock."""

from unittest.mock import AsyncMock, Mock

import pytest
from bookshop.api import AccountsApi


@pytest.fixture
def mock_http_client():
    client = AsyncMock()
    client.post.return_value = Mock(status_code=200, json=lambda: {"access_token": "tok-123"})
    return client


async def test_a_login_keeps_the_token(mock_http_client):
    api = AccountsApi(mock_http_client)
    assert await api.log_in("test@example.com", "test123")
    assert api.token is not None
    mock_http_client.post.assert_awaited_once_with(
        "/auth/login", json={"email": "test@example.com", "password": "test123"}
    )
