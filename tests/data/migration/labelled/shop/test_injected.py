from unittest.mock import patch

import pytest


@patch("shop.app.mail")
def test_injected_is_no_fixture(mock_db, cache):
    assert mock_db and cache


class TestInjected:
    @patch("shop.app.audit_log")
    @patch.object(dict, "items", new=None)
    def test_one_is_injected(self, cache, mock_db):
        assert mock_db


@pytest.fixture
def mock_db():
    return object()


def test_module_wins(mock_db):
    assert mock_db
