from unittest.mock import MagicMock, patch


def make_session():
    def build():
        session = MagicMock()
        session.commit.return_value = None
        return session

    return build()


class TestOuter:
    class TestInner:
        def test_deep(self):
            def inner():
                with patch("shop.cart.redis"):
                    return True

            assert inner()

    @staticmethod
    def helper():
        return [MagicMock() for _ in range(3)]

    def test_lambda(self):
        factory = lambda: MagicMock(name="websocket")
        assert factory()


def test_uses_helper():
    assert make_session().commit() is None
