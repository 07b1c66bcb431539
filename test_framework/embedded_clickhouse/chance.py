"""Random identifiers, from the system's randomness in bulk: asking for it costs each small query two system calls."""

from __future__ import annotations

import os

__all__ = ["Chance"]

_SIZE = 16
_BULK = 256 * _SIZE
#: Turns any byte into a lower-case letter.
_LETTERS = bytes(97 + byte % 26 for byte in range(256))


class Chance:
    """Gives identifiers. Used from one thread."""

    def __init__(self) -> None:
        self._bulk = b""
        self._used = 0

    def _take(self) -> bytes:
        if self._used >= len(self._bulk):
            self._bulk, self._used = os.urandom(_BULK), 0
        at, self._used = self._used, self._used + _SIZE
        return self._bulk[at : self._used]

    def query_id(self) -> str:
        """An identifier for a query without one."""
        text = self._take().hex()
        # Of version 4, and of the variant that has versions.
        return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{'89ab'[int(text[16], 16) & 3]}{text[17:20]}-{text[20:]}"

    def tag(self) -> str:
        """A word that no result holds: sixteen lower-case letters."""
        return self._take().translate(_LETTERS).decode()
