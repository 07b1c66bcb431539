"""The last log lines of one served application, whichever thread or task of it wrote them."""

from __future__ import annotations

import contextvars
import logging
from collections import deque
from collections.abc import Iterable

__all__ = ["ServerLog"]

_serving: contextvars.ContextVar[ServerLog | None] = contextvars.ContextVar("test_framework_serving", default=None)
_LINES = 60
_FORMAT = logging.Formatter("%(levelname)s %(name)s: %(message)s")


class ServerLog(logging.Handler):
    """Collects what is logged where :meth:`claim` was called, and in all tasks and threads begun from there.

    Args:
        secrets: texts that are replaced by ``***``.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        super().__init__()
        self._secrets = tuple(sorted(secrets, key=len, reverse=True))
        self._lines: deque[str] = deque(maxlen=_LINES)
        self.setFormatter(_FORMAT)

    def claim(self) -> None:
        """What the running task logs from here on is the application's."""
        _serving.set(self)

    def filter(self, record: logging.LogRecord) -> bool:
        return _serving.get() is self

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.extend(self.format(record).splitlines())

    def add(self, text: str) -> None:
        """Something that was not logged: a traceback."""
        self._lines.extend(text.splitlines())

    def tail(self) -> str:
        """The last lines, without secrets."""
        text = "\n".join(self._lines)
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text

    def begin(self) -> None:
        logging.getLogger().addHandler(self)

    def end(self) -> None:
        logging.getLogger().removeHandler(self)
        self.close()
