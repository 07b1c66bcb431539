"""Texts with a password in them that must not show it in ``--showlocals``, an assertion or a log of reprs."""

from __future__ import annotations

from typing import Self

__all__ = ["MaskedText"]


class MaskedText(str):
    """A ``str`` like any other, except that its ``repr`` shows ``shown`` instead.

    Drivers take it as the text it is. ``str()`` and formatting give the text too, so do not print it.
    """

    __slots__ = ("_shown",)
    _shown: str

    def __new__(cls, text: str, *, shown: str) -> Self:
        made = super().__new__(cls, text)
        made._shown = shown
        return made

    def __repr__(self) -> str:
        return repr(self._shown)

    def __reduce__(self) -> tuple[object, ...]:
        return (str, (str.__str__(self),))
