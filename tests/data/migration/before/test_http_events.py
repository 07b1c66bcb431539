from unittest.mock import AsyncMock, Mock

import pytest
from bookshop import api
from bookshop.api import ApiError, track


class TestTracking:
    def setup_method(self):
        self.http = AsyncMock()

    async def test_an_event_gets_an_id(self):
        self.http.request.return_value = Mock(status_code=201, json=lambda: {"event_id": "e-1"})
        assert await track(self.http, "page_view", "/books")
        _, kwargs = self.http.request.call_args
        assert kwargs["json"]["event_type"] == "page_view"
        assert kwargs["json"]["path"] == "/books"

    async def test_an_impossible_kind_is_an_error(self):
        self.http.request.return_value = Mock(status_code=422)
        with pytest.raises(ApiError):
            await api.track(self.http, "Page View", "/books")
