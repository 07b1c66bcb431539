"""Users. Whoever knows an id may read it; a change takes the user's own token, or an administrator's."""

from __future__ import annotations

import uuid
from typing import Any

from fastapi import APIRouter, Response

from test_framework.external.reference.access import Caller, Database, Here, Visitor
from test_framework.external.reference.models import User, UserChange, UserNew
from test_framework.external.reference.problems import Refused, problems

__all__ = ["router"]

router = APIRouter(prefix="/api/users", tags=["users"])

_ADD = "INSERT INTO auth.users (email, name, locale, password_hash) VALUES ($1, $2, $3, $4) RETURNING *"
_CHANGE = (
    "UPDATE auth.users SET name = coalesce($2, name), locale = coalesce($3, locale),"
    " is_active = coalesce($4, is_active), role = coalesce($5, role) WHERE id = $1 RETURNING *"
)


@router.post("", status_code=201, response_model=User, responses=problems(409))
async def create_user(new: UserNew, service: Here, database: Database) -> Any:
    """Make a user, who can log in if there is a password."""
    stored = None if new.password is None else await service.passwords.hash(new.password)
    return await database.fetchrow(_ADD, new.email.lower(), new.name, new.locale, stored)


@router.get("/{user_id}", response_model=User, responses=problems(404))
async def get_user(user_id: uuid.UUID, database: Database) -> Any:
    """One user."""
    return await _existing(database, user_id)


@router.patch("/{user_id}", response_model=User, responses=problems(401, 403, 404))
async def change_user(user_id: uuid.UUID, change: UserChange, caller: Caller, database: Database) -> Any:
    """Change what is given."""
    await _existing(database, user_id)
    _check(caller, user_id)
    if not caller.is_admin and (change.is_active is not None or change.role is not None):
        raise Refused(403, "forbidden", "only an administrator changes that")
    return await database.fetchrow(_CHANGE, user_id, change.name, change.locale, change.is_active, change.role)


@router.delete("/{user_id}", status_code=204, response_class=Response, responses=problems(401, 403, 404))
async def delete_user(user_id: uuid.UUID, caller: Caller, database: Database) -> None:
    """Delete the user with all that is theirs."""
    await _existing(database, user_id)
    _check(caller, user_id)
    await database.execute("DELETE FROM auth.users WHERE id = $1", user_id)


async def _existing(database: Any, user_id: uuid.UUID) -> Any:
    row = await database.fetchrow("SELECT * FROM auth.users WHERE id = $1", user_id)
    if row is None:
        raise Refused(404, "not_found", f"there is no user {user_id}")
    return row


def _check(caller: Visitor, user_id: uuid.UUID) -> None:
    if caller.id != user_id and not caller.is_admin:
        raise Refused(403, "forbidden", "that is another user")
