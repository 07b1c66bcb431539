"""Signed tokens for tests: access tokens as the reference service gives them, without a session."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from test_framework.endpoints import Secret
from test_framework.external.reference.tokens import ALGORITHM, access_token

__all__ = ["ALGORITHM", "signed_token"]

VALID_FOR: Final = timedelta(hours=1)


def signed_token(user: Mapping[str, Any], secret: Secret) -> str:
    """A JWT of ``user``: ``sub`` (the id), ``email``, ``name``, ``iat``, ``exp``, ``jti``, ``type`` (``access``)."""
    return access_token(user, secret.reveal(), valid_for=VALID_FOR)
