"""A fixture that returns the mock; values and assertions in the tests."""

from unittest.mock import AsyncMock

import pytest


class TokenStore:
    def __init__(self, redis):
        self.redis = redis

    async def save(self, token, user):
        await self.redis.set(f"token:{token}", user, ex=3600)

    async def owner(self, token):
        return await self.redis.get(f"token:{token}")


@pytest.fixture
def mock_redis():
    return AsyncMock()


async def test_owner_of_a_token(mock_redis):
    mock_redis.get.return_value = "ada"
    assert await TokenStore(mock_redis).owner("abc") == "ada"
    mock_redis.get.assert_awaited_once_with("token:abc")


async def test_save_lives_an_hour(mock_redis):
    await TokenStore(mock_redis).save("abc", "ada")
    mock_redis.set.assert_awaited_once_with("token:abc", "ada", ex=3600)
