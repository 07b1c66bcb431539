"""What a mock takes and no socket does."""

from unittest.mock import AsyncMock


class Shout:
    def __init__(self, socket):
        self.socket = socket

    async def out(self, words):
        await self.socket.send({"type": "shout", "words": words})

    async def reply(self):
        return (await self.socket.recv())["words"]


async def test_words_are_sent():
    websocket = AsyncMock()
    await Shout(websocket).out("hello")
    websocket.send.assert_awaited_once_with({"type": "shout", "words": "hello"})


async def test_words_come_back():
    websocket = AsyncMock()
    websocket.recv.return_value = {"words": "hello"}
    assert await Shout(websocket).reply() == "hello"
