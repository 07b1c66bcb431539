"""A handler with helpers of its own, in the file of its tests."""

import json
from unittest.mock import AsyncMock, patch

import pytest
from starlette.websockets import WebSocketDisconnect


class Chat:
    def __init__(self):
        self.members = {}

    async def join(self, name, websocket):
        await websocket.accept()
        self.members[name] = websocket

    async def say(self, name, text):
        for member, websocket in self.members.items():
            if member != name:
                await websocket.send_text(json.dumps({"from": name, "text": text}))

    async def listen(self, name):
        websocket = self.members[name]
        try:
            while True:
                await self.say(name, await websocket.receive_text())
        except WebSocketDisconnect:
            del self.members[name]


@pytest.fixture
def chat():
    return Chat()


@pytest.fixture
def ada_ws():
    return AsyncMock()


@pytest.fixture
def bob_ws():
    return AsyncMock()


async def test_others_hear_what_is_said(chat, ada_ws, bob_ws):
    await chat.join("ada", ada_ws)
    await chat.join("bob", bob_ws)
    ada_ws.receive_text.side_effect = ["hello", WebSocketDisconnect(1001)]
    await chat.listen("ada")
    sent = json.loads(bob_ws.send_text.call_args[0][0])
    assert sent == {"from": "ada", "text": "hello"}
    ada_ws.send_text.assert_not_called()
    assert list(chat.members) == ["bob"]


async def test_who_is_alone_is_heard_by_nobody(chat, ada_ws):
    await chat.join("ada", ada_ws)
    with patch.object(chat, "say", AsyncMock()) as say:
        await chat.say("ada", "hello")
        say.assert_awaited_once_with("ada", "hello")
    ada_ws.send_text.assert_not_called()
