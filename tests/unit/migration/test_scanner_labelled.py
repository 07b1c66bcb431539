"""The scanner against the hand-made labels beside each file of tests/data/migration/labelled."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from test_framework.migration.model import FileReport
from test_framework.migration.scanner import scan

LABELLED = Path(__file__).resolve().parents[2] / "data" / "migration" / "labelled"


@pytest.fixture(scope="module")
def reports() -> dict[str, FileReport]:
    return {report.path: report for report in scan([LABELLED], jobs=1).files}


def labels_of(path: str) -> list[dict[str, Any]]:
    found = yaml.safe_load((LABELLED / path).with_suffix(".yaml").read_text("utf-8"))
    assert isinstance(found, list)
    return found


def test_the_set_is_as_large_and_as_varied_as_promised(reports: dict[str, FileReport]) -> None:
    labels = [label for path in reports for label in labels_of(path)]
    assert len(reports) >= 60
    assert {label["category"] for label in labels} >= {
        "database", "redis", "clickhouse", "websocket", "http", "filesystem", "llm", "time", "environment", "other",
    }  # fmt: skip
    assert len({label["kind"] for label in labels}) >= 40


def test_every_labelled_file_is_scanned_and_every_scanned_file_is_labelled(reports: dict[str, FileReport]) -> None:
    assert {file.relative_to(LABELLED).with_suffix(".py").as_posix() for file in LABELLED.rglob("*.yaml")} == set(
        reports
    )


def test_uses_are_found_with_precision_and_recall_of_99_percent_and_categories_with_95(
    reports: dict[str, FileReport], capsys: pytest.CaptureFixture[str]
) -> None:
    right = found = wanted = judged = agreed = 0
    wrong: list[str] = []
    for path, report in reports.items():
        labels = labels_of(path)
        want = Counter((label["line"], label["kind"]) for label in labels)
        got = Counter((use.line, use.kind) for use in report.uses)
        right, found, wanted = right + (want & got).total(), found + got.total(), wanted + want.total()
        wrong += [f"{path}:{line} {kind} is missing" for line, kind in want - got]
        wrong += [f"{path}:{line} {kind} is no use" for line, kind in got - want]
        categories = Counter((label["line"], label["kind"], label["category"]) for label in labels)
        told = Counter((use.line, use.kind, use.category.value) for use in report.uses if (use.line, use.kind) in want)
        judged, agreed = judged + told.total(), agreed + (told & categories).total()
        wrong += [f"{path}:{line} {kind} is not {category}" for line, kind, category in told - categories]
    precision, recall, accuracy = right / found, right / wanted, agreed / judged
    with capsys.disabled():
        print(
            f"\nlabelled set: {wanted} uses, precision {precision:.4f}, recall {recall:.4f}, categories {accuracy:.4f}"
        )
    assert precision >= 0.99, wrong
    assert recall >= 0.99, wrong
    assert accuracy >= 0.95, wrong


def test_files_that_do_not_parse_are_reported_and_hold_nothing(reports: dict[str, FileReport]) -> None:
    failed = {path: report.error for path, report in reports.items() if report.error}
    assert set(failed) == {"broken/test_python2.py", "broken/test_unfinished.py"}
    assert all("line " in str(error) for error in failed.values())


def test_every_use_says_why_it_has_its_category(reports: dict[str, FileReport]) -> None:
    for report in reports.values():
        for use in report.uses:
            assert use.evidence
            assert "\n" not in use.evidence


def test_autouse_mocks_are_told_for_each_file_that_they_reach(reports: dict[str, FileReport]) -> None:
    assert reports["auto/test_auto.py"].autouse == ("fake_clock",)
    assert reports["shop/test_orders.py"].autouse == ()
