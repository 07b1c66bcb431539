"""Nothing here is a mock but one line: the other names only look like it."""
from unittest import mock


def patch(document, change):
    document.update(change)
    return document


class Mock:
    def __init__(self, **fields):
        self.fields = fields


def call(number):
    return f"+49{number}"


class Phone:
    MagicMock = "a brand of phone"

    def ring(self):
        return self.MagicMock


def test_patch_of_a_document():
    assert patch({"a": 1}, {"a": 2}) == {"a": 2}


def test_mock_of_ours():
    assert Mock(a=1).fields == {"a": 1}


def test_calls():
    assert call(30) == "+4930"


def test_parameter_shadows():
    def run(mock):
        return mock.patch("x")

    class Patcher:
        def patch(self, name):
            return name

    assert run(Patcher()) == "x"


def test_local_shadows():
    mock = {"patch": 1}
    assert mock.get("patch") == 1


def test_the_real_one():
    real = mock.Mock()
    assert real
