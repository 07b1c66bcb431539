from unittest.mock import AsyncMock, MagicMock, Mock, patch

import clickhouse_connect
import pytest


@pytest.fixture
def mock_ch():
    client = MagicMock(spec=clickhouse_connect.driver.client.Client)
    client.query.return_value.result_rows = [(1,)]
    return client


class TestEvents:
    def test_counts(self, mock_ch):
        assert mock_ch.query("SELECT 1").result_rows

    @patch("analytics.events.clickhouse_connect.get_client")
    def test_connects(self, get_client):
        get_client.return_value = Mock(**{"command.return_value": 1})

    async def test_writes(self):
        clickhouse = AsyncMock()
        await clickhouse.insert("events", [[1]])
        thing = MagicMock()
        thing.insert_df("events", None)
