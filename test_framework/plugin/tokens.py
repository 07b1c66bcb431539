"""Signed tokens for tests."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import jwt

from test_framework.endpoints import Secret

__all__ = ["ALGORITHM", "signed_token"]

ALGORITHM: Final = "HS256"
VALID_FOR: Final = timedelta(hours=1)


def signed_token(user: Mapping[str, Any], secret: Secret) -> str:
    """A JWT that says who ``user`` is: ``sub`` (the id), ``email``, ``name``, ``iat``, ``exp`` and a unique ``jti``."""
    now = datetime.now(UTC)
    claims = {
        "sub": str(user["id"]),
        "email": user["email"],
        "name": user["name"],
        "iat": now,
        "exp": now + VALID_FOR,
        "jti": secrets.token_hex(16),
    }
    return jwt.encode(claims, secret.reveal(), algorithm=ALGORITHM)
