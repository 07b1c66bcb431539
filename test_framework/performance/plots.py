"""Plots as SVG text: no script, no font, no address, so that a page holding them opens anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

__all__ = ["bars", "lines"]

_WIDTH, _HEIGHT = 640, 220
_LEFT, _BOTTOM, _TOP, _RIGHT = 56, 34, 12, 12
_COLOURS = ("#2563eb", "#d97706", "#059669", "#dc2626", "#7c3aed", "#0891b2", "#65a30d", "#be185d")
# More points than this are not seen apart.
_POINTS = 600


def lines(series: Sequence[tuple[str, Sequence[float]]], *, title: str, unit: str, across: str) -> str:
    """One line for each series, from left to right; all share the axis, which begins at the smallest value."""
    drawn = [(name, _thinned(values)) for name, values in series if values]
    if not drawn:
        return ""
    low = min(min(values) for _, values in drawn)
    high = max(max(values) for _, values in drawn)
    body = []
    for number, (name, values) in enumerate(drawn):
        step = (_WIDTH - _LEFT - _RIGHT) / max(1, len(values) - 1)
        points = " ".join(f"{_LEFT + n * step:.1f},{_y(value, low, high):.1f}" for n, value in enumerate(values))
        colour = _COLOURS[number % len(_COLOURS)]
        body.append(
            f'<polyline fill="none" stroke="{colour}" stroke-width="1.5" points="{points}">'
            f"<title>{escape(name)}</title></polyline>" + _legend(number, name, colour)
        )
    return _framed("".join(body), title, _axis(low, high, unit), across)


def bars(values: Sequence[tuple[str, float]], *, title: str, unit: str, across: str) -> str:
    """One bar for each value, with its name below."""
    if not values:
        return ""
    high = max(value for _, value in values) or 1.0
    slot = (_WIDTH - _LEFT - _RIGHT) / len(values)
    body = []
    for number, (name, value) in enumerate(values):
        x, y = _LEFT + number * slot, _y(value, 0, high)
        body.append(
            f'<rect x="{x + slot * 0.1:.1f}" y="{y:.1f}" width="{slot * 0.8:.1f}" height="{_HEIGHT - _BOTTOM - y:.1f}"'
            f' fill="{_COLOURS[0]}"><title>{escape(name)}: {value:g}</title></rect>'
            f'<text x="{x + slot / 2:.1f}" y="{_HEIGHT - _BOTTOM + 13}" text-anchor="middle">{escape(name)}</text>'
        )
    return _framed("".join(body), title, _axis(0, high, unit), across)


def _thinned(values: Sequence[float]) -> Sequence[float]:
    """The highest of each stretch, so that no peak is lost."""
    if len(values) <= _POINTS:
        return values
    stretch = len(values) / _POINTS
    return [max(values[int(n * stretch) : int((n + 1) * stretch)]) for n in range(_POINTS)]


def _y(value: float, low: float, high: float) -> float:
    room = _HEIGHT - _TOP - _BOTTOM
    return _TOP + room * (1 - (value - low) / ((high - low) or 1.0))


def _axis(low: float, high: float, unit: str) -> str:
    marks = []
    for part in (0.0, 0.5, 1.0):
        value = low + (high - low) * part
        y = _y(value, low, high)
        marks.append(
            f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ccc" stroke-width="0.5"/>'
            f'<text x="{_LEFT - 5}" y="{y + 4:.1f}" text-anchor="end">{value:.4g} {escape(unit)}</text>'
        )
    return "".join(marks)


def _legend(number: int, name: str, colour: str) -> str:
    y = _TOP + 12 + number * 13
    return f'<text x="{_LEFT + 8}" y="{y}" fill="{colour}">{escape(name)}</text>'


def _framed(body: str, title: str, axis: str, across: str) -> str:
    return (
        f'<figure><figcaption>{escape(title)}</figcaption><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img"'
        f' aria-label="{escape(title)}" font-size="10" font-family="sans-serif">{axis}{body}'
        f'<text x="{(_WIDTH + _LEFT) / 2:.0f}" y="{_HEIGHT - 6}" text-anchor="middle">{escape(across)}</text>'
        "</svg></figure>"
    )
