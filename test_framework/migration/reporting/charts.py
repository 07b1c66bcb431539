"""Bar charts as inline SVG. Colours come from the page's style sheet, so both colour schemes have their own."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from test_framework.migration.reporting.summary import Share
from test_framework.migration.reporting.text import printable

__all__ = ["bar_chart"]

WIDTH = 400
LABEL_WIDTH = 145
NUMBER_WIDTH = 52
BAR = 18
ROW = 28
LONGEST_LABEL = 20


def bar_chart(identity: str, title: str, shares: Sequence[Share]) -> str:
    """One bar for each share: what ``migrate`` rewrites, what a person replaces, what stays.

    Args:
        identity: unique in the page, a valid HTML id.
    """
    longest = max((share.uses for share in shares), default=1)
    rows = "".join(_row(place, share, longest) for place, share in enumerate(shares))
    spoken = "; ".join(f"{printable(share.name)}: {share.uses:,}" for share in shares) or "nothing"
    return (
        f'<svg class="chart" role="img" viewBox="0 0 {WIDTH} {max(1, len(shares)) * ROW}"'
        f' aria-labelledby="{identity}-title" aria-describedby="{identity}-text">'
        f'<title id="{identity}-title">{escape(title)}</title><desc id="{identity}-text">{escape(spoken)}</desc>'
        f"{rows}</svg>"
    )


def _row(place: int, share: Share, longest: int) -> str:
    top = place * ROW
    scale = (WIDTH - LABEL_WIDTH - NUMBER_WIDTH) / longest
    name = printable(share.name)
    label = name if len(name) <= LONGEST_LABEL else name[: LONGEST_LABEL - 1] + "…"
    parts = (
        ("rewritable", share.rewritable),
        ("by-hand", share.replaceable - share.rewritable),
        ("stays", share.uses - share.replaceable),
    )
    left = float(LABEL_WIDTH)
    bars = ""
    for style, number in parts:
        if number:
            bars += f'<rect class="{style}" x="{left:.1f}" y="{top + 4}" width="{number * scale:.1f}" height="{BAR}"/>'
            left += number * scale
    middle = top + 18
    return (
        f'<g><text class="label" x="{LABEL_WIDTH - 8}" y="{middle}" text-anchor="end">{escape(label)}</text>'
        f'{bars}<text class="number" x="{left + 6:.1f}" y="{middle}">{share.uses:,}</text></g>'
    )
