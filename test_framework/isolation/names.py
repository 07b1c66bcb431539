"""Names of what tests own: recognisable as ours, never used twice, safe in any SQL."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass

from test_framework.errors import SettingsError

__all__ = ["DEFAULT_PREFIX", "Names", "check_prefix", "could_be_ours", "is_ours", "key_prefix", "worker_slug"]

DEFAULT_PREFIX = "apes_test"
# Together with a worker and eight digits it must fit into the 63 bytes of a PostgreSQL identifier.
_PREFIX = re.compile(r"[a-z][a-z0-9_]{2,29}")
_WORKER_LENGTH = 20
_MADE = re.compile(rf"{_PREFIX.pattern}_[a-z0-9]{{1,{_WORKER_LENGTH}}}_[0-9a-f]{{8}}")
_PREFIXED = re.compile(rf"test:[a-z0-9]{{1,{_WORKER_LENGTH}}}_[0-9a-f]{{8}}:([0-9]+:)?")


def check_prefix(prefix: str) -> str:
    """``prefix`` itself, if names of ours may begin with it.

    Raises:
        SettingsError: it is too short to be told from other people's databases, too long, or not an identifier.
    """
    if not _PREFIX.fullmatch(prefix) or prefix.startswith(("pg_", "tf_")):
        raise SettingsError(
            f"{prefix!r} cannot be the prefix of test databases",
            where="TEST_DATABASE_PREFIX",
            fix="use 3 to 30 lower-case letters, digits and '_', beginning with a letter, not with pg_ or tf_",
        )
    return prefix


def worker_slug(worker_id: str) -> str:
    """``worker_id`` as a part of a name: ``gw0``, ``master``."""
    return re.sub(r"[^a-z0-9]", "", worker_id.lower())[:_WORKER_LENGTH] or "w"


@dataclass(frozen=True)
class Names:
    """What one worker calls its databases: ``apes_test_gw0_1f3a90bc``."""

    prefix: str
    worker_id: str

    def new(self) -> str:
        """A name that nobody had before."""
        return f"{self._start}{secrets.token_hex(4)}"

    def is_own(self, name: str) -> bool:
        """Whether :meth:`new` could have made it."""
        return name.startswith(self._start) and is_ours(name, self.prefix)

    @property
    def _start(self) -> str:
        return f"{self.prefix}_{worker_slug(self.worker_id)}_"


def is_ours(name: str, prefix: str) -> bool:
    """Whether ``name`` was made by :class:`Names`. The ledger has the last word on what may be dropped."""
    return re.fullmatch(rf"{re.escape(prefix)}_[a-z0-9]{{1,{_WORKER_LENGTH}}}_[0-9a-f]{{8}}", name) is not None


def could_be_ours(name: str) -> bool:
    """Whether a worker with any prefix could have made ``name``: a database, or what keys begin with."""
    return (_PREFIXED if name.endswith(":") else _MADE).fullmatch(name) is not None


def key_prefix(worker_id: str, session: int) -> str:
    """What every key of a worker begins with on a Redis with too few databases: ``test:gw0_1f3a90bc:``."""
    return f"test:{worker_slug(worker_id)}_{session & 0xFFFFFFFF:08x}:"
