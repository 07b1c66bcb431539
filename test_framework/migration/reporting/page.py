"""The scan as one HTML page that needs nothing else: no network, no second file."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable
from html import escape
from importlib import resources

from test_framework import __version__
from test_framework.migration.model import Category, Complexity, TreeReport
from test_framework.migration.reporting.charts import bar_chart
from test_framework.migration.reporting.order import FORMULA, Step, order_of_work
from test_framework.migration.reporting.rows import HEADERS, file_rows, uses_of
from test_framework.migration.reporting.summary import Summary, summarise
from test_framework.migration.reporting.text import counted, printable

__all__ = ["page"]

KINDS = 15
LEGEND = {"rewritable": "rewritten by migrate", "by-hand": "replaced by hand", "stays": "stays a mock"}


def page(report: TreeReport) -> str:
    """The whole document. Every name from the tree is escaped, and the page's own policy forbids any request."""
    style, script = _asset("page.css"), _asset("page.js")
    total = summarise(report)
    policy = (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; img-src data:;"
        " base-uri 'none'; form-action 'none'"
    )
    title = f"Mocks in {escape(printable(report.root))}"
    body = (_figures(total), _charts(total), _table(report), _unreadable(report))
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="icon" href="data:,"><title>{title}</title><style>{style}</style></head><body>\n'
        f'<a class="skip" href="#work">To the list of files</a><header><h1>{title}</h1></header>\n'
        f"<main>{''.join(body)}</main>\n"
        f"<footer>test-framework {escape(__version__)}, rules {escape(report.version)}</footer>\n"
        f'<script type="application/json" id="uses">{_data(report)}</script>\n'
        f"<script>{script}</script></body></html>\n"
    )


def _asset(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text("utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _data(report: TreeReport) -> str:
    """JSON inside a script element: no ``<`` may be in it, or ``</script`` in a name would end the element."""
    text = json.dumps([uses_of(file) for file in report.with_mocks], separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _figures(total: Summary) -> str:
    figures = {
        "mocks": total.uses,
        "files with mocks": total.files_with_mocks,
        "replaceable by real services": total.replaceable,
        "rewritten by migrate": total.rewritable,
        "tests": total.tests,
        "files read": total.files,
    }
    cells = "".join(f"<div><dt>{name}</dt><dd>{number:,}</dd></div>" for name, number in figures.items())
    return f'<dl class="figures">{cells}</dl>'


def _charts(total: Summary) -> str:
    kinds = total.kinds[:KINDS]
    more = f", the {KINDS} most frequent of {len(total.kinds)}" if len(total.kinds) > KINDS else ""
    charts = (
        ("by-category", "Mocks by what they stand in for", total.categories),
        ("by-kind", f"Mocks by kind{more}", kinds),
        ("by-complexity", "Mocks by complexity of their file", total.complexities),
    )
    sections = "".join(
        f"<section><h3>{escape(title)}</h3>{bar_chart(identity, title, shares)}</section>"
        for identity, title, shares in charts
    )
    legend = "".join(
        f'<li><svg aria-hidden="true" viewBox="0 0 9 9"><rect class="{style}" width="9" height="9"/></svg>{text}</li>'
        for style, text in LEGEND.items()
    )
    return f'<h2>Totals</h2><ul class="legend">{legend}</ul><div class="charts">{sections}</div>'


def _table(report: TreeReport) -> str:
    head = "".join(
        f'<th scope="col" data-sort="{header.sort}"{header.sorted}><button type="button">{header.title}</button></th>'
        for header in HEADERS
    )
    rows = "".join(file_rows(report.with_mocks, order_of_work(report)))
    caption = "Press a column's name to sort by it, a file's name to see its mocks."
    return (
        f'<h2 id="work">Files, in the suggested order of work</h2><p class="soft">{escape(FORMULA)}</p>{_form()}'
        f'<p id="shown" role="status">{counted(len(report.with_mocks), "file")}</p>'
        f'<div class="wide"><table id="files"><caption>{caption}</caption><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _form() -> str:
    choices = (
        ("category", "Stands in for", [category.value for category in Category]),
        ("complexity", "Complexity", [complexity.value for complexity in Complexity]),
        ("step", "How", [step.value for step in Step] + ["stays"]),
    )
    selects = "".join(
        f'<label>{label}<select name="{name}"><option value="">all</option>{_options(values)}</select></label>'
        for name, label, values in choices
    )
    words = '<label>Words in path, kind, target or scope<input name="words" type="search" autocomplete="off"></label>'
    return f'<form id="filter" hidden>{words}{selects}</form>'


def _options(values: Iterable[str]) -> str:
    return "".join(f"<option>{escape(value)}</option>" for value in values)


def _unreadable(report: TreeReport) -> str:
    if not report.failed:
        return ""
    items = "".join(
        f"<li><code>{escape(printable(file.path))}</code>: {escape(printable(file.error or ''))}</li>"
        for file in report.failed
    )
    return f"<h2>{counted(len(report.failed), 'file')} could not be read</h2><ul>{items}</ul>"
