"""Mocks that are called in the expression that makes them, and names that are given a mock of themselves."""

from unittest.mock import Mock, mock_open, patch

try:
    from unittest.mock import AsyncMock
except ImportError:
    from unittest.mock import MagicMock

    class AsyncMock(MagicMock):
        async def __call__(self, *args, **kwargs):
            return super().__call__(*args, **kwargs)


from invoices import archive, clock


def read_template(name, *args):
    if name.endswith(".txt"):
        return mock_open(read_data="Dear {name}")(name, *args)
    return open(name, *args)


def test_answer_of_an_answer():
    assert Mock(return_value=3)() == 3


def test_decorated_by_hand():
    frozen = patch("invoices.clock.time.time", return_value=0.0)(clock.age)
    assert frozen() == 0.0


def test_same_name(mocker):
    mocker = mocker.patch("invoices.archive.requests.post")
    archive.send(1)
    mocker.assert_called_once()


def test_same_name_over_lines(mocker):
    mocker = mocker.patch(
        "invoices.archive.redis_client",
        new_callable=AsyncMock,
    )
    mocker.get.assert_not_called()


async def test_with_the_newer_class():
    client = AsyncMock(name="redis")
    await archive.forget(client)
