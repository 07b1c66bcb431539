from unittest.mock import *


def test_star():
    cursor = MagicMock()
    cursor.fetchall.return_value = []
    with patch("shop.db.cursor", cursor):
        assert cursor.fetchall() == []
    assert cursor.mock_calls == [call.fetchall()]
