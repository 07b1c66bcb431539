"""What a worker keeps ready for its next tests, to be taken from any thread without asking anybody."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterator

from test_framework.isolation.ledger import Ledger

__all__ = ["Shelf"]


class Shelf:
    """Names of namespaces that are ours in the books, as long as our session lives."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._names: deque[tuple[str, int]] = deque()

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[str]:
        return iter([name for name, _ in self._names])

    def put(self, name: str) -> None:
        """Keep ``name``, which the books say is ours now."""
        self._names.append((name, self._ledger.session))

    def take(self) -> str | None:
        """The one that was put first, unless our session may have been declared dead since."""
        with contextlib.suppress(IndexError):  # another thread may take the last one
            while True:
                name, session = self._names.popleft()
                if session == self._ledger.session and self._ledger.connected:
                    return name
        return None
