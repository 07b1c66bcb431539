import pytest

pytestmark = pytest.mark.usefixtures("cache")


def test_extended(mock_db):
    assert mock_db


@pytest.mark.usefixtures("mock_db")
class TestClass:
    def test_one(self):
        assert True
