"""The report of a run: the same figures as text for a terminal, as JSON, and as a page with plots."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from html import escape
from pathlib import Path
from typing import Any

from test_framework.errors import SettingsError
from test_framework.performance.findings import findings
from test_framework.performance.metrics import Metrics, percentile
from test_framework.performance.plots import bars, lines

__all__ = ["FORMATS", "as_dict", "as_html", "summary_lines", "write_report"]

FORMATS = (".html", ".json")
_MIB = 1024 * 1024
_EDGES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)  # milliseconds
_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1f2937}"
    "table{border-collapse:collapse}td,th{padding:.2rem .8rem;text-align:right;border-bottom:1px solid #ddd}"
    "td:first-child,th:first-child{text-align:left}figure{margin:1.5rem 0}figcaption{font-weight:600}"
    "svg{max-width:100%;height:auto}li{margin:.4rem 0}"
)


def summary_lines(metrics: Metrics) -> list[str]:
    """What the terminal shows at the end of a run; nothing when nothing was asked for."""
    found = [
        f"{each.service}: {each.count} namespaces, {each.hit_ratio:.1%} ready when asked for; waited"
        f" {each.median * 1000:.1f} ms (median), {each.p95 * 1000:.1f} ms (95 %), {each.total:.2f} s in all"
        for each in metrics.services()
    ]
    if metrics.environments:
        found.append(
            f"environments: {len(metrics.environments)}, ready after"
            f" {percentile(metrics.environments, 50) * 1000:.0f} ms (median),"
            f" {percentile(metrics.environments, 95) * 1000:.0f} ms (95 %)"
        )
    return [*found, *(f"! {finding}" for finding in findings(metrics))]


def as_dict(metrics: Metrics, about: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Everything, for JSON; times are in seconds, memory is in bytes.

    Args:
        about: what describes the run: its level, workers …
    """
    return {
        "version": 1,
        "about": dict(about or {}),
        "services": [{**asdict(each), "hit_ratio": each.hit_ratio} for each in metrics.services()],
        "hit_ratio": metrics.hit_ratio,
        "environments": {
            "count": len(metrics.environments),
            "median": percentile(metrics.environments, 50),
            "p95": percentile(metrics.environments, 95),
        },
        "findings": [asdict(each) for each in findings(metrics)],
        "measured": metrics.as_dict(),
    }


def as_html(metrics: Metrics, about: Mapping[str, str] | None = None) -> str:
    """A page that needs nothing but itself."""
    facts = "".join(f"<li>{escape(name)}: {escape(value)}</li>" for name, value in (about or {}).items())
    found = findings(metrics)
    notes = "".join(f"<li><b>{escape(each.text)}</b>: {escape(each.advice)}</li>" for each in found)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Real services: report</title>'
        f"<style>{_STYLE}</style></head><body><h1>Real services</h1><ul>{facts}</ul>"
        f"<h2>Findings</h2>{f'<ul>{notes}</ul>' if notes else '<p>None.</p>'}"
        f"<h2>Namespaces</h2>{_table(metrics)}{_plots(metrics)}</body></html>\n"
    )


def write_report(path: Path, metrics: Metrics, about: Mapping[str, str] | None = None) -> None:
    """Write a page or JSON, by the name's ending.

    Raises:
        SettingsError: the ending is another, or the file cannot be written.
    """
    if path.suffix not in FORMATS:
        raise SettingsError(f"a report cannot be written to {path}", fix=f"let its name end in {' or '.join(FORMATS)}")
    text = as_html(metrics, about) if path.suffix == ".html" else json.dumps(as_dict(metrics, about), indent=1) + "\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    except OSError as error:
        raise SettingsError(f"the report {path} cannot be written", cause=str(error)) from error


def _table(metrics: Metrics) -> str:
    header = ("service", "asked for", "ready", "failed", "median ms", "95 % ms", "longest ms", "all s")
    rows = [
        (
            each.service,
            str(each.count),
            f"{each.hit_ratio:.1%}",
            str(each.failures),
            *(f"{value * 1000:.1f}" for value in (each.median, each.p95, each.longest)),
            f"{each.total:.2f}",
        )
        for each in metrics.services()
    ]
    if not rows:
        return "<p>None was asked for.</p>"
    body = "".join(f"<tr>{_cells('td', row)}</tr>" for row in rows)
    return f"<table><tr>{_cells('th', header)}</tr>{body}</table>"


def _cells(tag: str, texts: Sequence[str]) -> str:
    return "".join(f"<{tag}>{escape(text)}</{tag}>" for text in texts)


def _plots(metrics: Metrics) -> str:
    parts = []
    for summary in metrics.services():
        waits = [each.waited * 1000 for each in metrics.acquisitions if each.service == summary.service]
        title = f"{summary.service}: how long tests waited"
        parts.append(bars(_histogram(waits), title=title, unit="", across="milliseconds, up to"))
    ratios = [
        (each.service, _running_ratio([a.hit for a in metrics.acquisitions if a.service == each.service]))
        for each in metrics.services()
    ]
    parts.append(lines(ratios, title="Ready when asked for, so far", unit="%", across="namespaces, in order"))
    workers = sorted({each.worker for each in metrics.memory})
    memory = [(name, [each.rss / _MIB for each in metrics.memory if each.worker == name]) for name in workers]
    parts.append(lines(memory, title="Memory of the test processes", unit="MiB", across="tests, in order"))
    ready = [("ready after", [seconds * 1000 for seconds in metrics.environments])]
    parts.append(lines(ready, title="Environments", unit="ms", across="environments, in order"))
    return "".join(parts)


def _histogram(values: Sequence[float]) -> list[tuple[str, float]]:
    counts = [0] * (len(_EDGES) + 1)
    for value in values:
        counts[next((n for n, edge in enumerate(_EDGES) if value <= edge), len(_EDGES))] += 1
    names = [*map(str, _EDGES), "more"]
    return list(zip(names, map(float, counts), strict=True))


def _running_ratio(hits: Sequence[bool]) -> list[float]:
    found, good = [], 0
    for number, hit in enumerate(hits, 1):
        good += hit
        found.append(100 * good / number)
    return found
