"""Password hashes: argon2id, and the scheme of older rows, which are brought up to date when their users log in."""

from __future__ import annotations

import asyncio
import hashlib
import hmac

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

__all__ = ["Passwords"]

_OLD = "pbkdf2_sha256$"


class Passwords:
    """Hashes and verifies in a thread, since both take their time on purpose."""

    def __init__(self, *, rounds: int, kib: int) -> None:
        self._hasher = PasswordHasher(time_cost=rounds, memory_cost=kib, parallelism=1)
        self._nobodys: str | None = None

    async def hash(self, password: str) -> str:
        return await asyncio.to_thread(self._hasher.hash, password)

    async def verify(self, stored: str | None, password: str) -> bool:
        """Whether it is the one. Where there is none, it takes as long, so that nobody learns who has an account."""
        if stored is None:
            if self._nobodys is None:
                self._nobodys = await self.hash("nobody's")
            await asyncio.to_thread(self._verify, self._nobodys, password)
            return False
        return await asyncio.to_thread(self._verify, stored, password)

    def outdated(self, stored: str) -> bool:
        """Whether ``stored`` was made by another scheme, or at another price, than one made today."""
        return stored.startswith(_OLD) or self._hasher.check_needs_rehash(stored)

    def _verify(self, stored: str, password: str) -> bool:
        if stored.startswith(_OLD):
            return _verify_old(stored, password)
        try:
            return self._hasher.verify(stored, password)
        except (VerificationError, InvalidHashError):
            return False


def _verify_old(stored: str, password: str) -> bool:
    _, rounds, salt, digest = stored.split("$")
    found = hashlib.pbkdf2_hmac("sha256", password.encode(), salt.encode(), int(rounds)).hex()
    return hmac.compare_digest(found, digest)
