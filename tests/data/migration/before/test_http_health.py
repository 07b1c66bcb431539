"""A client that does not wait, in a plain test."""

from unittest.mock import MagicMock

import httpx
from bookshop.api import is_healthy


def test_a_healthy_service():
    client = MagicMock(spec=httpx.Client)
    client.get.return_value.status_code = 200
    client.get.return_value.json.return_value = {"status": "ok"}
    assert is_healthy(client)
    client.get.assert_called_once_with("/healthz")
