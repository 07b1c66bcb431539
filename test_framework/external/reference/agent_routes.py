"""Agents of an organisation."""

from __future__ import annotations

import uuid
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from test_framework.external.reference.access import Caller, Database, Visitor
from test_framework.external.reference.models import Agent, AgentChange, AgentNew, Page
from test_framework.external.reference.organization_routes import membership
from test_framework.external.reference.paging import Paging, page_of
from test_framework.external.reference.problems import Refused, problems

__all__ = ["router"]

router = APIRouter(prefix="/api/agents", tags=["agents"])

_ADD = (
    "INSERT INTO backend.agents (organization_id, name, model, instructions, created_by)"
    " VALUES ($1, $2, $3, $4, $5) RETURNING *"
)
_LIST = (
    "SELECT a.* FROM backend.agents AS a"
    " JOIN backend.organization_memberships AS m ON m.organization_id = a.organization_id AND m.user_id = $1"
    " WHERE ($2::uuid IS NULL OR a.organization_id = $2) AND (a.created_at, a.id) > ($3, $4)"
    " ORDER BY a.created_at, a.id LIMIT $5"
)
_CHANGE = (
    "UPDATE backend.agents SET name = coalesce($2, name), status = coalesce($3, status),"
    " instructions = coalesce($4, instructions) WHERE id = $1 RETURNING *"
)


@router.post("", status_code=201, response_model=Agent, responses=problems(401, 403, 404, 409))
async def create_agent(new: AgentNew, caller: Caller, database: Database) -> Any:
    """Make an agent. Names are unique in an organisation."""
    await membership(database, new.organization_id, caller.id, at_least="member")
    return await database.fetchrow(_ADD, new.organization_id, new.name, new.model, new.instructions, caller.id)


@router.get("", response_model=Page[Agent], responses=problems(401))
async def list_agents(
    caller: Caller,
    database: Database,
    paging: Paging,
    organization_id: Annotated[uuid.UUID | None, Query(description="only those of this organisation")] = None,
) -> Any:
    """The agents of the caller's organisations, oldest first."""
    behind = (paging.moment, paging.row_id, paging.limit + 1)
    return page_of(await database.fetch(_LIST, caller.id, organization_id, *behind), paging)


@router.get("/{agent_id}", response_model=Agent, responses=problems(401, 404))
async def get_agent(agent_id: uuid.UUID, caller: Caller, database: Database) -> Any:
    """One of them."""
    return await _existing(database, agent_id, caller, at_least="viewer")


@router.patch("/{agent_id}", response_model=Agent, responses=problems(401, 403, 404, 409))
async def change_agent(agent_id: uuid.UUID, change: AgentChange, caller: Caller, database: Database) -> Any:
    """Change what is given."""
    await _existing(database, agent_id, caller, at_least="member")
    return await database.fetchrow(_CHANGE, agent_id, change.name, change.status, change.instructions)


@router.delete("/{agent_id}", status_code=204, response_class=Response, responses=problems(401, 403, 404))
async def delete_agent(agent_id: uuid.UUID, caller: Caller, database: Database) -> None:
    """Delete it. Its conversations stay."""
    await _existing(database, agent_id, caller, at_least="admin")
    await database.execute("DELETE FROM backend.agents WHERE id = $1", agent_id)


async def _existing(database: Any, agent_id: uuid.UUID, caller: Visitor, *, at_least: str) -> Any:
    row = await database.fetchrow("SELECT * FROM backend.agents WHERE id = $1", agent_id)
    if row is None:
        raise Refused(404, "not_found", f"there is no agent {agent_id}")
    await membership(database, row["organization_id"], caller.id, at_least=at_least)
    return row
