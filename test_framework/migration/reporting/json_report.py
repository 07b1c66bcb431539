"""The scan as one JSON object. ``scan.schema.json`` beside this file documents every field."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

from test_framework import __version__
from test_framework.migration.baseline import Comparison
from test_framework.migration.model import FileReport, MockUse, TreeReport
from test_framework.migration.reporting.order import FORMULA, Task, order_of_work
from test_framework.migration.reporting.summary import Share, replaceable, summarise

__all__ = ["SCHEMA_VERSION", "json_report", "schema", "use_as_dict"]

SCHEMA_VERSION = 1


def schema(command: str = "scan") -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of what ``scan --json`` or ``migrate --json`` writes."""
    text = resources.files(__package__).joinpath(f"{command}.schema.json").read_text("utf-8")
    document: dict[str, Any] = json.loads(text)
    return document


def json_report(report: TreeReport, comparison: Comparison | None = None) -> dict[str, Any]:
    """Everything the scan found. The same tree gives the same object: no times, no machine's name."""
    total = summarise(report)
    return {
        "schema_version": SCHEMA_VERSION,
        "tool": {"name": "test-framework", "version": __version__, "rules": report.version},
        "root": report.root,
        "summary": {
            "files": total.files,
            "files_with_mocks": total.files_with_mocks,
            "unreadable_files": total.unreadable,
            "tests": total.tests,
            "lines": total.lines,
            "uses": total.uses,
            "replaceable": total.replaceable,
            "rewritable": total.rewritable,
            "by_category": _shares(total.categories),
            "by_kind": _shares(total.kinds),
            "by_complexity": _shares(total.complexities),
        },
        "order_of_work": {"formula": FORMULA, "files": [_task(task) for task in order_of_work(report)]},
        "baseline": None if comparison is None else _comparison(comparison),
        "files": [_file(file) for file in report.files if file.uses or file.autouse or file.error],
    }


def _shares(shares: tuple[Share, ...]) -> dict[str, dict[str, int]]:
    fields = ("uses", "files", "replaceable", "rewritable")
    return {share.name: {name: getattr(share, name) for name in fields} for share in shares}


def _task(task: Task) -> dict[str, Any]:
    return {
        "path": task.path,
        "step": task.step.value,
        "gain": task.gain,
        "used_elsewhere": task.elsewhere,
        "rewritable": task.rewritable,
        "by_hand": task.by_hand,
        "cost": task.cost,
        "score": round(task.score, 3),
    }


def _file(file: FileReport) -> dict[str, Any]:
    return {
        "path": file.path,
        "complexity": file.complexity.value,
        "tests": file.tests,
        "lines": file.lines,
        "error": file.error,
        "autouse": list(file.autouse),
        "uses": [use_as_dict(use) for use in file.uses],
    }


def use_as_dict(use: MockUse) -> dict[str, Any]:
    """One use without its path; lines and columns count from 1, as in editors."""
    return {
        "line": use.line,
        "column": use.column + 1,
        "end_line": use.end_line,
        "kind": use.kind,
        "form": use.form.value,
        "target": use.target,
        "category": use.category.value,
        "evidence": use.evidence,
        "scope": use.scope,
        "replaceable": replaceable(use),
        "rewritable": use.rewritable,
    }


def _comparison(comparison: Comparison) -> dict[str, Any]:
    return {
        "new": [{"path": use.path, **use_as_dict(use)} for use in comparison.new],
        "gone": [{**key._asdict(), "count": count} for key, count in sorted(comparison.gone.items())],
        "moved": comparison.moved,
    }
