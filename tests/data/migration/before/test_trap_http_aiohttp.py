"""A client with another face."""

from unittest.mock import AsyncMock, MagicMock


async def is_up(session):
    async with session.get("/healthz") as answer:
        return (await answer.json())["status"] == "ok"


async def test_the_service_is_up():
    session = MagicMock()
    answer = AsyncMock()
    answer.json.return_value = {"status": "ok"}
    session.get.return_value.__aenter__.return_value = answer
    assert await is_up(session)
