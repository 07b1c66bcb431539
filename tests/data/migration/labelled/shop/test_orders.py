import pytest


async def test_reads(mock_db):
    assert await mock_db.fetchrow("SELECT 1")


def test_shop(shop, order):
    assert shop.place(order)


def test_chain(chain, plain):
    assert chain and plain


@pytest.mark.usefixtures("cache")
def test_marked(order):
    assert order


@pytest.mark.parametrize("mock_db", [1, 2])
def test_parametrized(mock_db):
    assert mock_db


def test_asks_late(request):
    db = request.getfixturevalue("mock_db")
    assert db


def helper(mock_db):
    return mock_db


class TestGroup:
    def test_inside(self, cache):
        assert cache
