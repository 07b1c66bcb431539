def test_inner():
    from unittest.mock import Mock as Double

    assert Double()


def test_unrelated():
    Double = dict
    assert Double() == {}


class TestClassImport:
    from unittest import mock

    redis = mock.Mock()

    def test_member(self):
        assert self.mock.Mock()
