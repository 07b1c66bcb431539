"""Shared fixtures of an integration, in the manner of large home automation suites."""
from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from unittest.mock import AsyncMock, MagicMock, patch

import pytest

from hub.const import DOMAIN

from .common import ConfigEntry, load_json


@pytest.fixture
def mock_setup_entry() -> Generator[AsyncMock]:
    """Override the set-up of an entry."""
    with patch("hub.async_setup_entry", return_value=True) as mock_setup_entry:
        yield mock_setup_entry


@pytest.fixture
def mock_config_entry() -> ConfigEntry:
    """An entry; no mock in spite of its name."""
    return ConfigEntry(domain=DOMAIN, data={"host": "1.2.3.4"}, unique_id="x")


@pytest.fixture
async def mock_websocket_client() -> AsyncGenerator[MagicMock]:
    with (
        patch("hub.coordinator.WebsocketClient", autospec=True) as mock_client,
        patch("hub.config_flow.WebsocketClient", new=mock_client),
    ):
        client = mock_client.return_value
        client.get_devices.return_value = load_json("devices.json")
        yield client


@pytest.fixture
async def init_integration(hub, mock_config_entry, mock_websocket_client):
    mock_config_entry.add_to(hub)
    await hub.setup(mock_config_entry.entry_id)
    return mock_config_entry


@pytest.fixture
def platforms() -> list[str]:
    return ["sensor"]
