def test_nearer_conftest_wins(mock_db):
    assert mock_db["real"]


def test_outer_still_there(cache):
    assert cache
