import mock

print "Mock() in an old dialect"


def test_old():
    assert mock.Mock()
