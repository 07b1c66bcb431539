"""Names from other people's trees, made fit to be shown."""

from __future__ import annotations

from test_framework.migration.model import Category, MockUse

__all__ = ["counted", "printable", "sentence"]


def printable(text: str) -> str:
    r"""``text`` with everything that cannot be seen written as an escape: ``a\nb`` becomes ``a\\nb``.

    A file name may hold newlines, terminal sequences, marks that turn the direction of writing, and bytes that are
    no text at all. None of them may move the cursor, begin a line of its own, or stop the output.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)


def counted(number: int, one: str, many: str | None = None) -> str:
    """``1 file``, ``1,200 files``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def sentence(use: MockUse) -> str:
    """``Mock stands in for database (app.db): fetchrow is awaited on it``."""
    stands_for = "no service that is known here" if use.category is Category.OTHER else use.category.value
    target = f" ({use.target})" if use.target else ""
    return f"{use.kind} stands in for {stands_for}{target}" + (f": {use.evidence}" if use.evidence else "")
