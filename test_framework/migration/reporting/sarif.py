"""The scan as SARIF 2.1.0, the format that code hosts and editors read findings from."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from typing import Any
from urllib.parse import quote

from test_framework import __version__
from test_framework.migration.baseline import Comparison
from test_framework.migration.model import Category, FileReport, MockUse, TreeReport
from test_framework.migration.reporting.summary import SERVICES, replaceable
from test_framework.migration.reporting.text import sentence

__all__ = ["sarif"]

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
ROOT = "SRCROOT"
HELP_REPLACE = 'Test against the real service of the test stack; "test-framework migrate" shows what it can rewrite.'
HELP_STAYS = "Nothing in the test stack stands behind this mock; it may stay."
REPLACED = SERVICES | {Category.HTTP}
RULE_INDEX = {category: index for index, category in enumerate(Category)}


def sarif(report: TreeReport, comparison: Comparison | None = None, *, prefix: str = "") -> dict[str, Any]:
    """The SARIF log of ``report``: a rule for each category, a result for each mock.

    Mocks that a real service can replace are warnings, the others notes. With a baseline each result says whether it
    is new. No path of this machine is in it.

    Args:
        prefix: what stands before each path, so that it is relative to the checkout ("" or ``tests/``).
    """
    new = None if comparison is None else set(comparison.new)
    seen: Counter[str] = Counter()
    failed = report.failed
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": {"name": "test-framework", "version": __version__, "rules": _rules()}},
                "columnKind": "unicodeCodePoints",
                "originalUriBaseIds": {ROOT: {"description": {"text": "The root of the checkout."}}},
                "invocations": [
                    {
                        "executionSuccessful": True,
                        "toolExecutionNotifications": [_notification(file, prefix) for file in failed],
                    }
                ],
                "results": [_result(use, prefix, new, seen) for use in report.uses],
            }
        ],
    }


def _rules() -> list[dict[str, Any]]:
    return [
        {
            "id": f"mock/{category.value}",
            "shortDescription": {"text": f"A mock stands in for {category.value}"},
            "fullDescription": {
                "text": f"The test replaces {category.value} by an object that answers what it was told."
            },
            "help": {"text": HELP_REPLACE if category in REPLACED else HELP_STAYS},
            "defaultConfiguration": {"level": "warning"},
            "properties": {"tags": ["tests", "mocks"]},
        }
        for category in Category
    ]


def _result(use: MockUse, prefix: str, new: set[MockUse] | None, seen: Counter[str]) -> dict[str, Any]:
    region = {"startLine": use.line, "startColumn": use.column + 1}
    if use.end_line > use.line:
        region["endLine"] = use.end_line
    location: dict[str, Any] = {"physicalLocation": {**_place(use.path, prefix), "region": region}}
    if use.scope:
        location["logicalLocations"] = [{"fullyQualifiedName": _clean(use.scope), "kind": "function"}]
    result = {
        "ruleId": f"mock/{use.category.value}",
        "ruleIndex": RULE_INDEX[use.category],
        "level": "warning" if replaceable(use) else "note",
        "message": {"text": _clean(sentence(use))},
        "locations": [location],
        "partialFingerprints": {"mockUse/v1": _fingerprint(use, prefix, seen)},
        "properties": {"form": use.form.value, "rewritable": use.rewritable},
    }
    if new is not None:
        result["baselineState"] = "new" if use in new else "unchanged"
    return result


def _fingerprint(use: MockUse, prefix: str, seen: Counter[str]) -> str:
    """The same for the same mock whatever line it is on; equal mocks of a scope are numbered."""
    key = "\0".join((prefix + use.path, use.scope, use.kind, use.target))
    seen[key] += 1
    return hashlib.sha256(f"{key}\0{seen[key]}".encode("utf-8", "surrogateescape")).hexdigest()


def _notification(file: FileReport, prefix: str) -> dict[str, Any]:
    return {
        "level": "warning",
        "message": {"text": _clean(file.error or "")},
        "locations": [{"physicalLocation": _place(file.path, prefix)}],
    }


def _place(path: str, prefix: str) -> dict[str, Any]:
    return {"artifactLocation": {"uri": _uri(prefix + path), "uriBaseId": ROOT}}


def _uri(path: str) -> str:
    return quote(os.fsencode(path), safe="/-._~")


def _clean(text: str) -> str:
    """Without halves of characters, which no Unicode text may hold."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
