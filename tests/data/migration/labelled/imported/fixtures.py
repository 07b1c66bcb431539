from unittest.mock import AsyncMock

import pytest
import pytest_asyncio


@pytest_asyncio.fixture
async def chat_socket():
    socket = AsyncMock()
    socket.send_json.return_value = None
    yield socket


@pytest.fixture()
def number():
    return 5
