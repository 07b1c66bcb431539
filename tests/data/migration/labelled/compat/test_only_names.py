from .notmocks import MagicMock, patch


def test_version():
    assert patch("1.2.3") == "3"


def test_clown():
    assert MagicMock().__doc__
