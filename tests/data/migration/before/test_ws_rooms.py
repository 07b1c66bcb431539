"""Several connections at once."""

from unittest.mock import AsyncMock

from bookshop.live import Rooms


async def test_only_the_room_is_told():
    rooms = Rooms()
    ada, bob = AsyncMock(), AsyncMock()
    await rooms.enter("poems", ada)
    await rooms.enter("maps", bob)
    await rooms.tell("poems", {"type": "closing"})
    ada.send_json.assert_awaited_once()
    bob.send_json.assert_not_awaited()


async def test_everybody_is_told_everything():
    rooms = Rooms()
    first_ws = AsyncMock()
    second_ws = AsyncMock()
    rooms.listeners["poems"] = [first_ws, second_ws]
    for number in range(3):
        await rooms.tell("poems", {"number": number})
    for ws in (first_ws, second_ws):
        assert ws.send_json.await_count == 3
