from unittest.mock import Mock, patch; import pytest

pair = Mock(), Mock()
db, redis = Mock(), Mock()
table = {"redis": Mock(), "websocket": Mock()}
nested = Mock(return_value=Mock(side_effect=[Mock()]))


def test_é(): assert Mock(name="é") and patch("öffnen.db")


def test_walrus():
    if (session := Mock()):
        assert session


def test_match():
    match Mock():
        case Mock():
            pass
