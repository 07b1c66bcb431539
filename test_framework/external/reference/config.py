"""What the service is told, and nothing else: it reads no other variable and no file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from test_framework.external.backing import Backing

__all__ = ["ServiceConfig"]


@dataclass(frozen=True, kw_only=True)
class ServiceConfig:
    """Where the databases are, and how long things are valid.

    Args:
        clickhouse_url: ``None``: events are refused with 503.
        redis_key_prefix: what all keys begin with.
        access_seconds: validity of an access token.
        refresh_seconds: validity of a session that is not used.
        hash_rounds: argon2's time cost.
        hash_kib: argon2's memory. The defaults are for tests: a real user's password deserves what
            ``argon2.PasswordHasher()`` takes by itself.
    """

    database_url: str = field(repr=False)
    redis_url: str = field(repr=False)
    jwt_secret: str = field(repr=False)
    clickhouse_url: str | None = field(default=None, repr=False)
    redis_key_prefix: str = ""
    access_seconds: int = 900
    refresh_seconds: int = 14 * 24 * 3600
    hash_rounds: int = 1
    hash_kib: int = 1024

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """``DATABASE_URL``, ``REDIS_URL``, ``CLICKHOUSE_URL``, ``JWT_SECRET``, ``REDIS_KEY_PREFIX``.

        Raises:
            LookupError: one of those that cannot be missing is.
        """
        missing = [name for name in ("DATABASE_URL", "REDIS_URL", "JWT_SECRET") if not environ.get(name)]
        if missing:
            raise LookupError(f"the service needs {', '.join(missing)} in its environment")
        return cls(
            database_url=environ["DATABASE_URL"],
            redis_url=environ["REDIS_URL"],
            jwt_secret=environ["JWT_SECRET"],
            clickhouse_url=environ.get("CLICKHOUSE_URL") or None,
            redis_key_prefix=environ.get("REDIS_KEY_PREFIX", ""),
        )

    @classmethod
    def of(cls, backing: Backing) -> Self:
        """The databases of one test."""
        prefix = {"REDIS_KEY_PREFIX": backing.redis_key_prefix} if backing.redis_key_prefix else {}
        return cls.from_environment({**backing.variables(), **prefix})
