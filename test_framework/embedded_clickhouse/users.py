"""Who may log in, and how credentials travel: Basic, X-ClickHouse-User/Key headers, URL arguments."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence

from test_framework.embedded_clickhouse.errors import ClickHouseError
from test_framework.embedded_clickhouse.options import Credential

__all__ = ["Users"]


class Users:
    """The endpoint's accounts."""

    def __init__(self, accounts: Sequence[Credential]) -> None:
        self._digests = {account.user: _digest(account.password) for account in accounts}
        self._unknown = _digest("no account has this digest")

    def authenticate(self, headers: Mapping[str, str], arguments: Mapping[str, str]) -> str:
        """The user's name.

        Raises:
            ClickHouseError: AUTHENTICATION_FAILED; the text is the same for a wrong name and a wrong password.
        """
        user, password = _credentials(headers, arguments)
        expected = self._digests.get(user, self._unknown)
        # Equal time for every name and password: digests of one length, compared without an early end, and a name that
        # does not exist is compared as well.
        equal = hmac.compare_digest(_digest(password), expected)
        if not (equal and user in self._digests):
            raise ClickHouseError(
                516,
                "AUTHENTICATION_FAILED",
                f"{user}: Authentication failed: password is incorrect, or there is no user with such name",
            )
        return user


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()


def _credentials(headers: Mapping[str, str], arguments: Mapping[str, str]) -> tuple[str, str]:
    in_headers = "X-ClickHouse-User" in headers or "X-ClickHouse-Key" in headers
    in_url = "user" in arguments or "password" in arguments
    basic = headers.get("Authorization")
    if (basic is not None and (in_headers or in_url)) or (in_headers and in_url):
        raise ClickHouseError(
            516,
            "AUTHENTICATION_FAILED",
            "Invalid authentication: it is not allowed to use several kinds of credentials simultaneously",
        )
    if in_headers:
        return headers.get("X-ClickHouse-User") or "default", headers.get("X-ClickHouse-Key", "")
    if basic is not None:
        return _basic(basic)
    return arguments.get("user") or "default", arguments.get("password", "")


def _basic(header: str) -> tuple[str, str]:
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        raise ClickHouseError(
            516,
            "AUTHENTICATION_FAILED",
            f"Invalid authentication: '{scheme}' HTTP Authorization scheme is not supported",
        )
    try:
        decoded = base64.b64decode(encoded.strip(), validate=True).decode("utf-8", "surrogateescape")
    except (binascii.Error, ValueError) as error:
        raise ClickHouseError(516, "AUTHENTICATION_FAILED", "Invalid authentication: bad Basic credentials") from error
    user, _, password = decoded.partition(":")
    return user or "default", password
