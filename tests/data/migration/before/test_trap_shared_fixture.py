"""One test needs the mock, the others do not: the fixture between them must serve both."""

from unittest.mock import AsyncMock

import pytest


class Greeter:
    def __init__(self, redis):
        self.redis = redis

    async def greet(self, user):
        try:
            name = await self.redis.get(f"name:{user}")
        except ConnectionError:
            return "Hello"
        return f"Hello {name}" if name else "Hello stranger"


@pytest.fixture
def mock_redis():
    return AsyncMock()


@pytest.fixture
def greeter(mock_redis):
    return Greeter(mock_redis)


@pytest.fixture
def greeting(greeter):
    return greeter.greet


async def test_name(greeter, mock_redis):
    mock_redis.get.return_value = "Ada"
    assert await greeter.greet(1) == "Hello Ada"


async def test_stranger(greeting, mock_redis):
    mock_redis.get.return_value = None
    assert await greeting(2) == "Hello stranger"


async def test_server_is_away(greeting, mock_redis):
    mock_redis.get.side_effect = ConnectionError
    assert await greeting(1) == "Hello"
