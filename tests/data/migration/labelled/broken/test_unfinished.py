from unittest.mock import Mock


def test_unfinished(:
    Mock()
