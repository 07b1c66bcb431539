"""Organisations and their members. Members see them; owners and administrators change them."""

from __future__ import annotations

import uuid
from typing import Any

from fastapi import APIRouter, Response

from test_framework.external.reference.access import Caller, Database
from test_framework.external.reference.models import (
    Member,
    MemberNew,
    Organization,
    OrganizationChange,
    OrganizationNew,
    Page,
)
from test_framework.external.reference.paging import Paging, page_of
from test_framework.external.reference.problems import Refused, problems

__all__ = ["membership", "router"]

router = APIRouter(prefix="/api/organizations", tags=["organizations"])

_ADD = (
    "WITH made AS (INSERT INTO backend.organizations (name, slug, plan, owner_id)"
    " VALUES ($1, coalesce($2, 'org-' || left(replace(gen_random_uuid()::text, '-', ''), 12)), $3, $4) RETURNING *),"
    " joined AS (INSERT INTO backend.organization_memberships (organization_id, user_id, role)"
    " SELECT id, owner_id, 'owner' FROM made) SELECT * FROM made"
)
_MINE = (
    "SELECT o.* FROM backend.organizations AS o"
    " JOIN backend.organization_memberships AS m ON m.organization_id = o.id AND m.user_id = $1"
    " WHERE (o.created_at, o.id) > ($2, $3) ORDER BY o.created_at, o.id LIMIT $4"
)
_CHANGE = (
    "UPDATE backend.organizations SET name = coalesce($2, name), plan = coalesce($3, plan) WHERE id = $1 RETURNING *"
)
_MEMBERS = (
    "SELECT * FROM backend.organization_memberships WHERE organization_id = $1 AND (created_at, id) > ($2, $3)"
    " ORDER BY created_at, id LIMIT $4"
)
_JOIN = "INSERT INTO backend.organization_memberships (organization_id, user_id, role) VALUES ($1, $2, $3) RETURNING *"
_LEAVE = "DELETE FROM backend.organization_memberships WHERE organization_id = $1 AND user_id = $2 AND role <> 'owner'"
_ROLE = "SELECT role FROM backend.organization_memberships WHERE organization_id = $1 AND user_id = $2"
_RANKS = ("viewer", "member", "admin", "owner")


async def membership(database: Any, organization_id: uuid.UUID, user_id: uuid.UUID, *, at_least: str) -> None:
    """Return if the user's role in the organisation is ``at_least`` that.

    Raises:
        Refused: 404 for somebody who is no member and shall not know of it, 403 for a member of a lower role.
    """
    role = await database.fetchval(_ROLE, organization_id, user_id)
    if role is None:
        raise Refused(404, "not_found", f"there is no organisation {organization_id}")
    if _RANKS.index(role) < _RANKS.index(at_least):
        raise Refused(403, "forbidden", f"that takes the role {at_least} in the organisation")


@router.post("", status_code=201, response_model=Organization, responses=problems(401, 409))
async def create_organization(new: OrganizationNew, caller: Caller, database: Database) -> Any:
    """Make an organisation, owned by whoever asks."""
    return await database.fetchrow(_ADD, new.name, new.slug, new.plan, caller.id)


@router.get("", response_model=Page[Organization], responses=problems(401))
async def list_organizations(caller: Caller, database: Database, paging: Paging) -> Any:
    """Those that the caller is a member of, oldest first."""
    rows = await database.fetch(_MINE, caller.id, paging.moment, paging.row_id, paging.limit + 1)
    return page_of(rows, paging)


@router.get("/{organization_id}", response_model=Organization, responses=problems(401, 404))
async def get_organization(organization_id: uuid.UUID, caller: Caller, database: Database) -> Any:
    """One of them."""
    await membership(database, organization_id, caller.id, at_least="viewer")
    return await database.fetchrow("SELECT * FROM backend.organizations WHERE id = $1", organization_id)


@router.patch("/{organization_id}", response_model=Organization, responses=problems(401, 403, 404))
async def change_organization(
    organization_id: uuid.UUID, change: OrganizationChange, caller: Caller, database: Database
) -> Any:
    """Change what is given."""
    await membership(database, organization_id, caller.id, at_least="admin")
    return await database.fetchrow(_CHANGE, organization_id, change.name, change.plan)


@router.delete("/{organization_id}", status_code=204, response_class=Response, responses=problems(401, 403, 404))
async def delete_organization(organization_id: uuid.UUID, caller: Caller, database: Database) -> None:
    """Delete it with all that is in it."""
    await membership(database, organization_id, caller.id, at_least="owner")
    await database.execute("DELETE FROM backend.organizations WHERE id = $1", organization_id)


@router.get("/{organization_id}/members", response_model=Page[Member], responses=problems(401, 404))
async def list_members(organization_id: uuid.UUID, caller: Caller, database: Database, paging: Paging) -> Any:
    """Who belongs to it, and as what."""
    await membership(database, organization_id, caller.id, at_least="viewer")
    rows = await database.fetch(_MEMBERS, organization_id, paging.moment, paging.row_id, paging.limit + 1)
    return page_of(rows, paging)


@router.post(
    "/{organization_id}/members", status_code=201, response_model=Member, responses=problems(401, 403, 404, 409)
)
async def add_member(organization_id: uuid.UUID, new: MemberNew, caller: Caller, database: Database) -> Any:
    """Let somebody in."""
    await membership(database, organization_id, caller.id, at_least="admin")
    return await database.fetchrow(_JOIN, organization_id, new.user_id, new.role)


@router.delete(
    "/{organization_id}/members/{user_id}",
    status_code=204,
    response_class=Response,
    responses=problems(401, 403, 404, 409),
)
async def remove_member(organization_id: uuid.UUID, user_id: uuid.UUID, caller: Caller, database: Database) -> None:
    """Leave, or make somebody leave. An owner cannot."""
    mine = "viewer" if user_id == caller.id else "admin"
    await membership(database, organization_id, caller.id, at_least=mine)
    role = await database.fetchval(_ROLE, organization_id, user_id)
    if role is None:
        raise Refused(404, "not_found", f"{user_id} is no member")
    if role == "owner":
        raise Refused(409, "owner", "the owner cannot leave; delete the organisation instead")
    await database.execute(_LEAVE, organization_id, user_id)
