"""Who is asking, and on which connection they are answered."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Mapping
from typing import Annotated, Any, cast

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from test_framework.external.reference.problems import Refused
from test_framework.external.reference.service import Service
from test_framework.external.reference.tokens import ACCESS, InvalidToken, decode_token

__all__ = ["Caller", "Database", "Here", "MaybeCaller", "Visitor", "caller_of"]

Row = Mapping[str, Any]
_bearer = HTTPBearer(auto_error=False, description="an access token from /auth/login")


def _service(request: Request) -> Service:
    return cast(Service, request.state.service)


Here = Annotated[Service, Depends(_service)]


async def _connection(service: Here) -> AsyncIterator[Any]:
    async with service.pool.acquire() as connection:
        yield connection


Database = Annotated[Any, Depends(_connection)]


class Visitor:
    """A logged-in user: the row, and the claims of the token."""

    def __init__(self, row: Row, claims: Mapping[str, Any]) -> None:
        self.row = row
        self.claims = claims

    @property
    def id(self) -> uuid.UUID:
        return cast(uuid.UUID, self.row["id"])

    @property
    def is_admin(self) -> bool:
        return bool(self.row["role"] == "admin")


async def caller_of(token: str, service: Service, database: Any) -> Visitor:
    """Whose access token it is.

    Raises:
        Refused: 401, with the reason.
    """
    try:
        claims = decode_token(token, service.config.jwt_secret, ACCESS)
        user_id = uuid.UUID(claims["sub"])
    except (InvalidToken, ValueError) as error:
        raise Refused(401, "invalid_token", str(error)) from error
    ended = (
        not await service.sessions.alive(claims["sid"])
        if "sid" in claims
        else await service.sessions.revoked(claims["jti"])
    )
    if ended:
        raise Refused(401, "session_ended", "the session has ended")
    row = await database.fetchrow("SELECT * FROM auth.users WHERE id = $1", user_id)
    if row is None or not row["is_active"]:
        raise Refused(401, "invalid_token", "the user is not there any more, or not active")
    return Visitor(row, claims)


async def _maybe_caller(
    service: Here,
    database: Database,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> Visitor | None:
    return None if credentials is None else await caller_of(credentials.credentials, service, database)


MaybeCaller = Annotated[Visitor | None, Depends(_maybe_caller)]


async def _caller(visitor: MaybeCaller) -> Visitor:
    if visitor is None:
        raise Refused(401, "not_logged_in", "an access token is needed: Authorization: Bearer …")
    return visitor


Caller = Annotated[Visitor, Depends(_caller)]
