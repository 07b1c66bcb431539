"""Money: reserved before a call is made, settled afterwards. A call that could cost more than is left is not made."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Protocol

from test_framework.external.llm.errors import BudgetExceeded

__all__ = ["FileAccount", "MemoryAccount", "Purse", "Reservation", "shown"]

NOTHING = Decimal(0)


class Account(Protocol):
    """What was spent or is reserved, with one way to change it."""

    def change(self, amount: Decimal, limit: Decimal | None) -> Decimal | None:
        """Add ``amount`` unless that would exceed ``limit``.

        Returns:
            ``None`` when it was added, else what had been spent before.
        """


def _changed(spent: Decimal, amount: Decimal, limit: Decimal | None) -> bool:
    return limit is None or spent + amount <= limit


class MemoryAccount:
    """For one process."""

    def __init__(self) -> None:
        self.spent = NOTHING
        self._lock = threading.Lock()

    def change(self, amount: Decimal, limit: Decimal | None) -> Decimal | None:
        with self._lock:
            if not _changed(self.spent, amount, limit):
                return self.spent
            self.spent += amount
            return None


class FileAccount:
    """For all processes of a run on one machine: a number in a locked file.

    What a killed process had reserved stays reserved: the call may have been made.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def spent(self) -> Decimal:
        with self._open() as fd:
            return _read(fd)

    def change(self, amount: Decimal, limit: Decimal | None) -> Decimal | None:
        with self._open() as fd:
            spent = _read(fd)
            if not _changed(spent, amount, limit):
                return spent
            text = str(spent + amount).encode()
            os.pwrite(fd, text, 0)
            os.ftruncate(fd, len(text))
            return None

    @contextmanager
    def _open(self) -> Iterator[int]:
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)  # gone with the descriptor, also when the process is killed
            yield fd
        finally:
            os.close(fd)


def _read(fd: int) -> Decimal:
    return Decimal(os.pread(fd, 256, 0).decode() or "0")


@dataclass(frozen=True)
class Reservation:
    """What one call may cost; ended by :meth:`settle`, once."""

    amount: Decimal
    settle: Callable[[Decimal], None]


class Purse:
    """The money of one test, inside of that of its run.

    Args:
        test_limit: what this test may spend; ``None``: no limit of its own.
        run_limit: what all tests of the run may spend together.
        run: the account that they share.
    """

    def __init__(
        self, *, test_limit: Decimal | None = None, run_limit: Decimal | None = None, run: Account | None = None
    ) -> None:
        self._test_limit = test_limit
        self._run_limit = run_limit
        self._run = run or MemoryAccount()
        self._own = MemoryAccount()

    @property
    def spent(self) -> Decimal:
        """What this test has spent, with what is reserved for calls under way."""
        return self._own.spent

    def reserve(self, amount: Decimal, what: str) -> Reservation:
        """Set ``amount`` aside for a call.

        Raises:
            BudgetExceeded: it is more than is left; nothing was set aside.
        """
        before = self._own.change(amount, self._test_limit)
        if before is not None:
            raise _exceeded(what, amount, before, self._test_limit, "this test", "llm_test_budget")
        before = self._run.change(amount, self._run_limit)
        if before is not None:
            self._own.change(-amount, None)
            raise _exceeded(what, amount, before, self._run_limit, "the run", "llm_run_budget")

        def settle(cost: Decimal) -> None:
            for account in (self._own, self._run):
                account.change(cost - amount, None)

        return Reservation(amount, settle)


def _exceeded(
    what: str, amount: Decimal, spent: Decimal, limit: Decimal | None, whose: str, name: str
) -> BudgetExceeded:
    assert limit is not None  # or there would be nothing to exceed
    return BudgetExceeded(
        f"{what} was not made: it could cost {shown(amount)}, and of the {shown(limit)} of {whose}"
        f" {shown(limit - spent)} are left",
        cause="prompts are counted at one token per byte, answers at their limit (max_tokens)",
        fix=f"lower max_tokens, or raise {name}",
    )


def shown(amount: Decimal) -> str:
    """At most six decimals, rounded up in favour of caution; no exponent."""
    return f"{amount.quantize(Decimal('0.000001'), rounding='ROUND_UP').normalize():f}"
