"""The same words where the file speaks of a database: by an import, by a certain mock, by what they are put into."""

from unittest.mock import AsyncMock, MagicMock, Mock, patch

import pytest

from shelf.repositories.books import BookRepository
from shelf.services import Shelf


@pytest.fixture
def session():
    entered = AsyncMock()
    entered.anything.return_value = None
    return entered


async def test_stored(session):
    await BookRepository(session).store("Emma")


def test_engine():
    engine = Mock()
    assert Shelf(engine)


def test_rows():
    mock_conn = MagicMock()
    mock_cursor = MagicMock()
    copied = MagicMock()
    mock_cursor.copy.return_value = copied
    mock_conn.cursor.return_value = mock_cursor
    assert Shelf(mock_conn)


def test_made_by_a_factory():
    client = Mock()
    client.fetchall.return_value = []
    with patch("shelf.services.make_client", return_value=client):
        assert Shelf(None).titles() == []


def test_book_repo():
    book_repo = Mock()
    assert Shelf(book_repo)
