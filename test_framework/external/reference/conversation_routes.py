"""Conversations of the caller, and their messages."""

from __future__ import annotations

import uuid
from typing import Any

from fastapi import APIRouter, Response

from test_framework.external.reference.access import Caller, Database
from test_framework.external.reference.models import (
    Conversation,
    ConversationChange,
    ConversationNew,
    Message,
    MessageNew,
    Page,
)
from test_framework.external.reference.organization_routes import membership
from test_framework.external.reference.paging import Paging, page_of
from test_framework.external.reference.problems import Refused, problems

__all__ = ["add_message", "own_conversation", "router"]

router = APIRouter(prefix="/api/conversations", tags=["conversations"])

_ADD = (
    "INSERT INTO backend.conversations (user_id, organization_id, agent_id, title) VALUES ($1, $2, $3, $4) RETURNING *"
)
_LIST = (
    "SELECT * FROM backend.conversations WHERE user_id = $1 AND (created_at, id) > ($2, $3)"
    " ORDER BY created_at, id LIMIT $4"
)
_CHANGE = (
    "UPDATE backend.conversations SET title = coalesce($2, title), status = coalesce($3, status)"
    " WHERE id = $1 RETURNING *"
)
_MESSAGES = (
    "SELECT * FROM backend.messages WHERE conversation_id = $1 AND (created_at, id) > ($2, $3)"
    " ORDER BY created_at, id LIMIT $4"
)
# clock_timestamp(): messages of one transaction have an order too.
_SAY = (
    "INSERT INTO backend.messages (conversation_id, role, content, tokens, created_at)"
    " VALUES ($1, $2, $3, length($3) / 4 + 1, clock_timestamp()) RETURNING *"
)


async def own_conversation(database: Any, conversation_id: uuid.UUID, user_id: uuid.UUID) -> Any:
    """The row of a conversation of this user.

    Raises:
        Refused: 404; of others' conversations nobody learns whether they exist.
    """
    row = await database.fetchrow("SELECT * FROM backend.conversations WHERE id = $1", conversation_id)
    if row is None or row["user_id"] != user_id:
        raise Refused(404, "not_found", f"there is no conversation {conversation_id}")
    return row


async def add_message(database: Any, conversation_id: uuid.UUID, role: str, content: str) -> Any:
    """The row of a new message."""
    return await database.fetchrow(_SAY, conversation_id, role, content)


@router.post("", status_code=201, response_model=Conversation, responses=problems(401, 403, 404, 409))
async def create_conversation(new: ConversationNew, caller: Caller, database: Database) -> Any:
    """Begin a conversation."""
    if new.organization_id is not None:
        await membership(database, new.organization_id, caller.id, at_least="viewer")
    return await database.fetchrow(_ADD, caller.id, new.organization_id, new.agent_id, new.title)


@router.get("", response_model=Page[Conversation], responses=problems(401))
async def list_conversations(caller: Caller, database: Database, paging: Paging) -> Any:
    """The caller's own, oldest first."""
    rows = await database.fetch(_LIST, caller.id, paging.moment, paging.row_id, paging.limit + 1)
    return page_of(rows, paging)


@router.get("/{conversation_id}", response_model=Conversation, responses=problems(401, 404))
async def get_conversation(conversation_id: uuid.UUID, caller: Caller, database: Database) -> Any:
    """One of them."""
    return await own_conversation(database, conversation_id, caller.id)


@router.patch("/{conversation_id}", response_model=Conversation, responses=problems(401, 404))
async def change_conversation(
    conversation_id: uuid.UUID, change: ConversationChange, caller: Caller, database: Database
) -> Any:
    """Change what is given."""
    await own_conversation(database, conversation_id, caller.id)
    return await database.fetchrow(_CHANGE, conversation_id, change.title, change.status)


@router.delete("/{conversation_id}", status_code=204, response_class=Response, responses=problems(401, 404))
async def delete_conversation(conversation_id: uuid.UUID, caller: Caller, database: Database) -> None:
    """Delete it with its messages."""
    await own_conversation(database, conversation_id, caller.id)
    await database.execute("DELETE FROM backend.conversations WHERE id = $1", conversation_id)


@router.get("/{conversation_id}/messages", response_model=Page[Message], responses=problems(401, 404))
async def list_messages(conversation_id: uuid.UUID, caller: Caller, database: Database, paging: Paging) -> Any:
    """What was said, oldest first."""
    await own_conversation(database, conversation_id, caller.id)
    rows = await database.fetch(_MESSAGES, conversation_id, paging.moment, paging.row_id, paging.limit + 1)
    return page_of(rows, paging)


@router.post("/{conversation_id}/messages", status_code=201, response_model=Message, responses=problems(401, 404, 409))
async def create_message(conversation_id: uuid.UUID, new: MessageNew, caller: Caller, database: Database) -> Any:
    """Say something. A conversation that is not open takes nothing more."""
    row = await own_conversation(database, conversation_id, caller.id)
    if row["status"] != "open":
        raise Refused(409, "not_open", f"the conversation is {row['status']}")
    return await add_message(database, conversation_id, new.role, new.content)
