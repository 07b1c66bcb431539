"""Signing up, in and out."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from fastapi import APIRouter, Request, Response

from test_framework.external.reference.access import Caller, Database, Here
from test_framework.external.reference.models import Login, Refresh, Signup, Tokens, User
from test_framework.external.reference.problems import Refused, problems
from test_framework.external.reference.service import Service
from test_framework.external.reference.sessions import Rotation, Session
from test_framework.external.reference.tokens import REFRESH, InvalidToken, access_token, decode_token, refresh_token

__all__ = ["router"]

router = APIRouter(prefix="/auth", tags=["auth"])

_ADD = "INSERT INTO auth.users (email, name, password_hash) VALUES ($1, $2, $3) RETURNING *"
_SEEN = "UPDATE auth.users SET last_login_at = now(), password_hash = coalesce($2, password_hash) WHERE id = $1"


@router.post("/signup", status_code=201, response_model=User, responses=problems(409))
async def signup(new: Signup, service: Here, database: Database) -> Any:
    """Make a user with a password."""
    return await database.fetchrow(_ADD, new.email.lower(), new.name, await service.passwords.hash(new.password))


@router.post("/login", response_model=Tokens, responses=problems(401, 403))
async def login(given: Login, request: Request, service: Here, database: Database) -> Any:
    """Begin a session."""
    user = await database.fetchrow("SELECT * FROM auth.users WHERE email = $1", given.email.lower())
    stored: str | None = user["password_hash"] if user else None
    if not await service.passwords.verify(stored, given.password) or stored is None:
        raise Refused(401, "wrong_credentials", "no user has this email and this password")
    if not user["is_active"]:
        raise Refused(403, "inactive", "this user is not active")
    better = await service.passwords.hash(given.password) if service.passwords.outdated(stored) else None
    await database.execute(_SEEN, user["id"], better)
    address = request.client.host if request.client else ""
    agent = request.headers.get("user-agent", "")[:200]
    session = await service.sessions.begin(user, address=address, agent=agent)
    return _tokens(service, user, session)


@router.post("/refresh", response_model=Tokens, responses=problems(401))
async def refresh(given: Refresh, service: Here, database: Database) -> Any:
    """Another access token, and the next refresh token. Using one twice ends the session."""
    try:
        claims = decode_token(given.refresh_token, service.config.jwt_secret, REFRESH)
        user_id = uuid.UUID(claims["sub"])
    except (InvalidToken, ValueError) as error:
        raise Refused(401, "invalid_token", str(error)) from error
    rotation, following = await service.sessions.rotate(claims["sid"], claims["jti"])
    if rotation is Rotation.REUSED:
        raise Refused(401, "token_reused", "the refresh token was used before, so its session was ended")
    if rotation is Rotation.UNKNOWN:
        raise Refused(401, "session_ended", "the session has ended")
    user = await database.fetchrow("SELECT * FROM auth.users WHERE id = $1 AND is_active", user_id)
    if user is None:
        await service.sessions.end(claims["sid"])
        raise Refused(401, "invalid_token", "the user is not there any more, or not active")
    return _tokens(service, user, Session(claims["sid"], following))


@router.post("/logout", status_code=204, response_class=Response, responses=problems(401))
async def logout(caller: Caller, service: Here) -> None:
    """End the session: its access and refresh tokens are worth nothing from now on."""
    claims = caller.claims
    if "sid" in claims:
        await service.sessions.end(claims["sid"])
    else:
        await service.sessions.revoke(claims["jti"], int(claims["exp"] - time.time()) + 1)


@router.get("/me", response_model=User, responses=problems(401))
async def me(caller: Caller) -> Any:
    """Whose token it is."""
    return caller.row


def _tokens(service: Service, user: Mapping[str, Any], session: Session) -> dict[str, Any]:
    config = service.config
    valid = timedelta(seconds=config.access_seconds)
    kept = timedelta(seconds=config.refresh_seconds)
    sid, user_id = session.session_id, str(user["id"])
    return {
        "access_token": access_token(user, config.jwt_secret, valid_for=valid, session_id=sid),
        "refresh_token": refresh_token(user_id, sid, session.refresh_id, config.jwt_secret, valid_for=kept),
        "expires_in": config.access_seconds,
        "session_id": sid,
        "user": user,
    }
