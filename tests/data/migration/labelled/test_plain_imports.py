"""The billing service; Mock() in a docstring is no mock."""
from unittest.mock import AsyncMock, MagicMock, Mock, call, patch

import pytest

from billing.service import BillingService


class TestBilling:
    def setup_method(self):
        self.db = Mock()
        self.service = BillingService(self.db)

    def test_reads_invoice(self):
        # patch("billing.db.fetch") would be another way
        self.db.fetchone.return_value = {"id": 3}
        assert self.service.invoice(3)["id"] == 3
        assert self.db.fetchone.mock_calls == [call("SELECT * FROM invoices WHERE id = %s", (3,))]

    @patch("billing.service.requests.post")
    def test_notifies(self, post):
        post.return_value.status_code = 200
        self.service.notify(3)
        post.assert_called_once()

    async def test_async_paths(self):
        redis = AsyncMock()
        redis.get.return_value = b"1"
        clock = MagicMock(return_value=12.5)
        assert await self.service.cached(redis, clock) == 1


def test_text_is_not_code():
    text = "Mock() and patch('x') and AsyncMock"
    assert "MagicMock()" not in text
