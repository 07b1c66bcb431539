import pytest


@pytest.fixture
def mock_db(mock_db):
    mock_db.fetch.return_value = []
    return mock_db
