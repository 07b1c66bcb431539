"""How progress and errors are shown: one live line per service on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self, TextIO

if TYPE_CHECKING:
    from rich.live import Live

__all__ = ["Reporter", "is_interactive", "make_reporter"]


class Reporter(Protocol):
    """A context manager that is told what happens: ``reporter(service, text)``."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def __call__(self, service: str, text: str) -> None: ...


class PlainReporter:
    """One line per event with the seconds since the start: for CI logs and pipes."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._started = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.flush()

    def __call__(self, service: str, text: str) -> None:
        elapsed = time.monotonic() - self._started
        print(f"[{elapsed:6.2f} s] {service or 'stack':<16} {text}", file=self._stream, flush=True)


class LiveReporter:
    """One line per service that is rewritten in place: for people at a terminal."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._started = time.monotonic()
        self._rows: dict[str, tuple[str, float]] = {}
        self._live: Live | None = None

    def __enter__(self) -> Self:
        from rich.console import Console
        from rich.live import Live

        self._live = Live(console=Console(file=self._stream), get_renderable=self._table, refresh_per_second=10)
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def __call__(self, service: str, text: str) -> None:
        if text.startswith("warning:") and self._live:
            # Above the live lines, where it stays.
            self._live.console.print(text, markup=False, highlight=False, soft_wrap=True)
            return
        self._rows[service] = (text, time.monotonic() - self._started)

    def _table(self) -> Any:
        from rich.table import Table

        table = Table.grid(padding=(0, 2))
        for service, (text, at) in list(self._rows.items()):  # another thread draws
            style = "green" if text.startswith(("healthy", "done")) else ""
            table.add_row(service or "stack", f"{at:.2f} s", text, style=style)
        return table


def is_interactive(stream: TextIO) -> bool:
    """Whether lines may be rewritten in place: on a terminal, but not in CI and not with ``TERM=dumb``."""
    return stream.isatty() and not os.environ.get("CI") and os.environ.get("TERM", "dumb") != "dumb"


def make_reporter(stream: TextIO | None = None) -> Reporter:
    """Live on a terminal, plain in CI, in a pipe and with ``TERM=dumb``."""
    target = stream or sys.stderr
    return LiveReporter(target) if is_interactive(target) else PlainReporter(target)
