"""Signed tokens: what they say, in one place for the service and for the tests that need one without a login."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import jwt

__all__ = ["ACCESS", "ALGORITHM", "REFRESH", "InvalidToken", "access_token", "decode_token", "refresh_token"]

ALGORITHM: Final = "HS256"
ACCESS: Final = "access"
REFRESH: Final = "refresh"
_REQUIRED: Final = ("sub", "iat", "exp", "jti", "type")


class InvalidToken(Exception):
    """The token is forged, expired, or of another kind."""


def access_token(user: Mapping[str, Any], secret: str, *, valid_for: timedelta, session_id: str | None = None) -> str:
    """Who ``user`` is: ``sub`` (the id), ``email``, ``name``, ``iat``, ``exp``, a unique ``jti``, ``type``.

    Args:
        session_id: the session that it ends with (``sid``); a token without one lives until it expires.
    """
    claims = {"email": user["email"], "name": user["name"], **({"sid": session_id} if session_id else {})}
    return _signed(ACCESS, str(user["id"]), claims, secret, valid_for)


def refresh_token(user_id: str, session_id: str, token_id: str, secret: str, *, valid_for: timedelta) -> str:
    """What a session's next access token is asked for with, once."""
    return _signed(REFRESH, user_id, {"sid": session_id, "jti": token_id}, secret, valid_for)


def _signed(kind: str, subject: str, claims: Mapping[str, Any], secret: str, valid_for: timedelta) -> str:
    now = datetime.now(UTC)
    standard = {"sub": subject, "iat": now, "exp": now + valid_for, "jti": secrets.token_hex(16), "type": kind}
    return jwt.encode({**standard, **claims}, secret, algorithm=ALGORITHM)


def decode_token(token: str, secret: str, kind: str) -> dict[str, Any]:
    """The claims of a token of this ``kind``.

    Raises:
        InvalidToken: with a reason that may be shown to whoever sent it.
    """
    try:
        claims: dict[str, Any] = jwt.decode(token, secret, algorithms=[ALGORITHM], options={"require": [*_REQUIRED]})
    except jwt.ExpiredSignatureError as error:
        raise InvalidToken("the token has expired") from error
    except jwt.InvalidTokenError as error:
        raise InvalidToken("the token is not valid") from error
    if claims["type"] != kind:
        raise InvalidToken(f"this is no {kind} token")
    return claims
