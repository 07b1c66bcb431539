try:
    from unittest import mock
except ImportError:
    import mock

try:
    from unittest.mock import AsyncMock
except ImportError:
    AsyncMock = None

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unittest.mock import MagicMock


def describe(thing: "MagicMock") -> str:
    return str(thing)


def annotated(value: mock.Mock) -> mock.MagicMock:
    return value


@mock.patch("inventory.tasks.celery_app")
def test_task(app):
    assert isinstance(app, mock.Mock)


async def test_async():
    connection = AsyncMock()
    connection.fetchval.return_value = 1
