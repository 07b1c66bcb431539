"""``/ws/chat`` and ``/ws/events``: JSON objects with a ``type``, both ways.

Tokens come in the ``Authorization`` header or in a message, never in the address, which ends up in logs.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from pydantic import TypeAdapter, ValidationError

from test_framework.external.reference.access import Visitor, caller_of
from test_framework.external.reference.conversation_routes import add_message, own_conversation
from test_framework.external.reference.event_routes import record_event
from test_framework.external.reference.models import EventNew, Text
from test_framework.external.reference.problems import Refused
from test_framework.external.reference.service import Service

__all__ = ["router"]

router = APIRouter()

NOT_AUTHENTICATED = 4401
_text: TypeAdapter[str] = TypeAdapter(Text)
Answer = dict[str, Any]


class _Talk:
    """One connection: who is at the other end, and what becomes of a message."""

    def __init__(self, socket: WebSocket) -> None:
        self.socket = socket
        self.service: Service = socket.state.service
        self.visitor: Visitor | None = None
        self.handlers: dict[str, Callable[[Mapping[str, Any]], Awaitable[Answer]]] = {
            "ping": self.pong,
            "authenticate": self.authenticate,
        }

    async def accept(self) -> bool:
        """Whether the talk begins: a token that is sent along must be good."""
        await self.socket.accept()
        scheme, _, token = self.socket.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            try:
                await self.recognise(token)
            except Refused as refusal:
                await self.socket.close(NOT_AUTHENTICATED, refusal.detail)
                return False
        return True

    async def recognise(self, token: str) -> None:
        async with self.service.pool.acquire() as database:
            self.visitor = await caller_of(token, self.service, database)

    async def run(self) -> None:
        """Answer every message, in order, until the other side leaves."""
        while True:
            frame = await self.socket.receive()
            if frame["type"] == "websocket.disconnect":
                return
            await self.socket.send_json(await self.answer(frame.get("text")))

    async def answer(self, text: str | None) -> Answer:
        message = _object(text)
        if message is None:
            return _error("invalid", "a message is a JSON object with a type, as text")
        kind = message.get("type")
        handler = self.handlers.get(kind) if isinstance(kind, str) else None
        if handler is None:
            return _error("unknown_type", f"known types are {', '.join(sorted(self.handlers))}")
        try:
            return await handler(message)
        except Refused as refusal:
            return _error(refusal.code, refusal.detail)
        except (ValidationError, ValueError):
            return _error("invalid", f"this is not how a {kind} looks")

    async def pong(self, message: Mapping[str, Any]) -> Answer:
        del message
        return {"type": "pong", "timestamp": _now()}

    async def authenticate(self, message: Mapping[str, Any]) -> Answer:
        await self.recognise(str(message.get("token", "")))
        assert self.visitor is not None
        return {"type": "authenticated", "user_id": str(self.visitor.id)}

    async def message(self, message: Mapping[str, Any]) -> Answer:
        """A message of the chat. With a ``conversation_id`` it is kept there."""
        content = message.get("content", "")
        conversation = message.get("conversation_id")
        stored = await self.store(uuid.UUID(str(conversation)), content) if conversation is not None else None
        return {
            "type": "message_received",
            "id": str(stored["id"] if stored else uuid.uuid4()),
            "content": content,
            "conversation_id": conversation,
            "user_id": str(self.visitor.id) if self.visitor else None,
            "timestamp": _now(),
        }

    async def store(self, conversation_id: uuid.UUID, content: Any) -> Any:
        if self.visitor is None:
            raise Refused(401, "not_logged_in", "only users who are logged in take part in conversations")
        async with self.service.pool.acquire() as database:
            await own_conversation(database, conversation_id, self.visitor.id)
            return await add_message(database, conversation_id, "user", _text.validate_python(content))

    async def event(self, message: Mapping[str, Any]) -> Answer:
        """An event, as in ``POST /api/events``."""
        new = EventNew.model_validate({name: value for name, value in message.items() if name != "type"})
        event = await record_event(self.service, new, self.visitor.id if self.visitor else None)
        return {"type": "event_recorded", "event_id": str(event["event_id"]), "timestamp": _now()}


@router.websocket("/ws/chat")
async def chat(socket: WebSocket) -> None:
    """``message`` is answered by ``message_received``, ``ping`` by ``pong``."""
    talk = _Talk(socket)
    talk.handlers["message"] = talk.message
    if await talk.accept():
        await _until_gone(talk.run())


@router.websocket("/ws/events")
async def events(socket: WebSocket) -> None:
    """Every event that the service records from now on; an ``event`` that is sent is recorded."""
    talk = _Talk(socket)
    talk.handlers["event"] = talk.event
    with talk.service.hub.listener() as queue:
        if not await talk.accept():
            return
        forwarding = asyncio.ensure_future(_until_gone(_forward(queue, socket)))
        try:
            await _until_gone(talk.run())
        finally:
            forwarding.cancel()
            await asyncio.wait([forwarding])


async def _forward(queue: asyncio.Queue[dict[str, Any]], socket: WebSocket) -> None:
    while True:
        await socket.send_json({"type": "event", **await queue.get()})


async def _until_gone(work: Awaitable[None]) -> None:
    """The other side may leave at any moment, also while it is being answered."""
    try:
        await work
    except (WebSocketDisconnect, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "close" not in str(error).lower():
            raise


def _object(text: str | None) -> dict[str, Any] | None:
    try:
        found = json.loads(text) if text is not None else None
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _error(code: str, detail: str) -> Answer:
    return {"type": "error", "code": code, "detail": detail}


def _now() -> str:
    return datetime.now(UTC).isoformat()
