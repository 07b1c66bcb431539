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
            raise _refused(f"{user}: Authentication failed: password is incorrect, or there is no user with such name")
        return user


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()


def _refused(message: str) -> ClickHouseError:
    return ClickHouseError(516, "AUTHENTICATION_FAILED", message)


def _credentials(headers: Mapping[str, str], arguments: Mapping[str, str]) -> tuple[str, str]:
    given = []
    if headers.get("X-ClickHouse-User") or headers.get("X-ClickHouse-Key"):
        given.append("X-ClickHouse HTTP headers")
    if headers.get("Authorization") is not None:
        given.append("Authorization HTTP header")
    if "user" in arguments or "password" in arguments:
        given.append("authentication via parameters")
    if len(given) > 1:
        raise _refused(f"Invalid authentication: it is not allowed to use {given[0]} and {given[1]} simultaneously")
    if "quota_key" in arguments and headers.get("X-ClickHouse-Quota"):
        message = "it is not allowed to use quota key as HTTP header and as parameter simultaneously"
        raise ClickHouseError(36, "BAD_ARGUMENTS", f"Invalid authentication: {message}")
    if not given:
        return "default", ""
    if given[0].startswith("X-"):
        user, password = headers.get("X-ClickHouse-User", ""), headers.get("X-ClickHouse-Key", "")
    elif given[0].startswith("Authorization"):
        user, password = _basic(headers["Authorization"])
    else:
        user, password = arguments.get("user", "default"), arguments.get("password", "")
    if not user:
        raise _refused(f"Got an empty user name from {given[0]}")
    return user, password


def _basic(header: str) -> tuple[str, str]:
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        raise _refused(f"Invalid authentication: '{scheme}' HTTP Authorization scheme is not supported")
    try:
        decoded = base64.b64decode(encoded.strip(), validate=True).decode("utf-8", "surrogateescape")
    except (binascii.Error, ValueError) as error:
        raise _refused("Invalid authentication: bad Basic credentials") from error
    user, _, password = decoded.partition(":")
    return user, password
