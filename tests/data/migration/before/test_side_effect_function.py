from unittest.mock import AsyncMock

KNOWN = {"lang:ada": "en", "lang:chiara": "it"}


async def languages(redis, users):
    return [await redis.get(f"lang:{user}") for user in users]


async def test_languages():
    mock_redis = AsyncMock()
    mock_redis.get.side_effect = lambda key: KNOWN.get(key)
    assert await languages(mock_redis, ["ada", "bruno", "chiara"]) == ["en", None, "it"]
