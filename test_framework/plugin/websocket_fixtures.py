"""Fixtures: the service under test over WebSocket."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from test_framework.plugin.service import OwnService

if TYPE_CHECKING:
    from test_framework.external.websocket import WebSocketClient

__all__ = ["real_websocket_client", "websocket_url"]

# pytest shows the user's line, not ours; --full-trace shows all.
__tracebackhide__ = True


@pytest.fixture
def websocket_url(test_service: OwnService) -> str:
    """``ws://127.0.0.1:port`` of the service under test, for any client; or what ``TEST_WEBSOCKET_URL`` says."""
    return test_service.websocket_url


@pytest.fixture
def real_websocket_client(test_service: OwnService) -> Iterator[WebSocketClient]:
    """``await connect("/ws/chat")``, ``send(dict)``, ``receive_json()``, ``close()`` over a real socket."""
    client = test_service.websocket()
    yield client
    client.close_everywhere()
