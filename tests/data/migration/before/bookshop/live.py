"""What goes on in the shop, told over WebSockets."""

import json

from fastapi import WebSocket, WebSocketDisconnect

PRICES = {"Momo": 12, "Krabat": 10}


class Rooms:
    """Who listens, by room."""

    def __init__(self):
        self.listeners: dict[str, list[WebSocket]] = {}

    async def enter(self, room: str, websocket: WebSocket):
        await websocket.accept()
        self.listeners.setdefault(room, []).append(websocket)

    def leave(self, room: str, websocket: WebSocket):
        self.listeners[room].remove(websocket)

    async def tell(self, room: str, message: dict):
        gone = []
        for websocket in self.listeners.get(room, []):
            try:
                await websocket.send_json(message)
            except WebSocketDisconnect:
                gone.append(websocket)
        for websocket in gone:
            self.leave(room, websocket)


async def price_talk(websocket: WebSocket):
    await websocket.accept()
    try:
        while True:
            question = await websocket.receive_json()
            await websocket.send_json({"title": question["title"], "price": PRICES[question["title"]]})
    except WebSocketDisconnect:
        return


async def admit(websocket: WebSocket, token: str):
    if token != "letmein":
        await websocket.close(code=4401, reason="who are you?")
        return False
    await websocket.accept()
    await websocket.send_text("welcome")
    return True


class Ticker:
    """A client of somebody's stream of prices."""

    def __init__(self, socket):
        self.socket = socket

    async def price(self, title):
        await self.socket.send(json.dumps({"ask": title}))
        return json.loads(await self.socket.recv())["price"]

    async def follow(self):
        seen = []
        async for message in self.socket:
            seen.append(json.loads(message)["price"])
        return seen

    async def leave(self):
        await self.socket.close()


async def greet(connection, name):
    await connection.send_json({"type": "greet", "name": name})
    answer = await connection.receive_json()
    return answer["text"]
