import pytest


@pytest.fixture
def mock_db():
    return {"real": "rows"}
