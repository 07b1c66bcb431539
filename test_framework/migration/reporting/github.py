"""Annotations for GitHub Actions: lines on standard output that the runner turns into marks in the code."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from test_framework.migration.model import MockUse
from test_framework.migration.reporting.text import printable, sentence

__all__ = ["annotation_lines"]


def annotation_lines(uses: Iterable[MockUse], *, prefix: str, new: bool) -> Iterator[str]:
    """One workflow command for each of ``uses``.

    Args:
        prefix: what stands before each path, so that it is relative to the checkout ("" or ``tests/``).
        new: the uses are not in the baseline, so they are errors; otherwise they are warnings.
    """
    level = "error" if new else "warning"
    for use in uses:
        title = f"{'New mock' if new else 'Mock'}: {use.kind} ({use.category.value})"
        properties = {
            "file": printable(prefix + use.path),
            "line": str(use.line),
            "endLine": str(max(use.line, use.end_line)),
            "title": printable(title),
        }
        listed = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
        yield f"::{level} {listed}::{_data(printable(sentence(use)))}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
