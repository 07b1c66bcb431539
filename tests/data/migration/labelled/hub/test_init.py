from unittest.mock import AsyncMock, MagicMock, patch

import pytest
from freezegun.api import FrozenDateTimeFactory

from .common import ConfigEntry


async def test_unload(hub, init_integration: ConfigEntry, mock_websocket_client: MagicMock) -> None:
    mock_websocket_client.close.assert_not_called()
    assert await hub.unload(init_integration.entry_id)


@pytest.mark.usefixtures("mock_setup_entry", "init_integration")
async def test_ticks(hub, freezer: FrozenDateTimeFactory, mock_config_entry: ConfigEntry) -> None:
    freezer.tick(30)
    assert mock_config_entry


@pytest.mark.parametrize(
    ("side_effect", "state"),
    [(TimeoutError, "retry"), (MagicMock(), "loaded")],
)
async def test_states(hub, side_effect, state) -> None:
    with patch.object(hub.bus, "async_fire", AsyncMock(side_effect=side_effect)):
        assert state
