"""JSON, SARIF and annotations: what other programs read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from test_framework.migration.baseline import compare, record
from test_framework.migration.model import Category, Complexity, Form, TreeReport
from test_framework.migration.reporting.github import annotation_lines
from test_framework.migration.reporting.json_report import json_report, schema
from test_framework.migration.reporting.order import Step
from test_framework.migration.reporting.sarif import sarif
from tests.unit.migration.report.sarif_schema import SARIF
from tests.unit.migration.report.trees import HOSTILE, file, mocks, tree, use, varied

FOREIGN = "tests/caf\udce9.py"


def valid(document: object, against: dict[str, Any]) -> None:
    """What would be written, read again, agrees with the schema."""
    jsonschema.Draft202012Validator.check_schema(against)
    jsonschema.Draft202012Validator(against).validate(json.loads(json.dumps(document)))


@pytest.mark.parametrize("report", [varied(), tree(), tree(mocks(FOREIGN, 2))], ids=["varied", "empty", "foreign"])
def test_the_json_agrees_with_its_published_schema(report: TreeReport, tmp_path: Path) -> None:
    valid(json_report(report), schema())
    recorded = record(tree(mocks("gone.py", 3)), folder=tmp_path)
    valid(json_report(report, compare(report, recorded, folder=tmp_path)), schema())


def test_the_schema_refuses_a_field_it_does_not_describe_and_misses_one_that_is_gone() -> None:
    document = json_report(varied())
    with pytest.raises(jsonschema.ValidationError):
        valid(document | {"extra": 1}, schema())
    del document["files"][0]["uses"][0]["evidence"]
    with pytest.raises(jsonschema.ValidationError):
        valid(document, schema())


def test_the_schema_knows_exactly_the_words_of_the_model() -> None:
    fields = schema()["properties"]["files"]["items"]["properties"]
    use_fields = fields["uses"]["items"]["properties"]
    assert use_fields["category"]["enum"] == [each.value for each in Category]
    assert use_fields["form"]["enum"] == [each.value for each in Form]
    assert fields["complexity"]["enum"] == [each.value for each in Complexity]
    steps = schema()["properties"]["order_of_work"]["properties"]["files"]["items"]["properties"]["step"]["enum"]
    assert steps == [each.value for each in Step]


def test_the_json_keeps_a_name_that_is_no_text_exactly() -> None:
    document = json.loads(json.dumps(json_report(tree(mocks(FOREIGN, 1)))))
    assert document["files"][0]["path"] == FOREIGN


def test_the_sarif_log_has_the_shape_of_the_standard() -> None:
    valid(sarif(varied()), SARIF)
    valid(sarif(tree()), SARIF)
    log = sarif(varied(), prefix="backend/")
    run = log["runs"][0]
    assert len(run["results"]) == len(varied().uses)
    for result in run["results"]:
        assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"].startswith("backend/tests/")
    assert [each["message"]["text"] for each in run["invocations"][0]["toolExecutionNotifications"]] == [
        "SyntaxError: <invalid> syntax (line 3)"
    ]


def test_a_hostile_or_foreign_path_becomes_a_plain_uri() -> None:
    log = sarif(tree(mocks(HOSTILE, 1), mocks(FOREIGN, 1)))
    uris = [each["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for each in log["runs"][0]["results"]]
    assert uris[1] == "tests/caf%E9.py"
    assert uris[0].startswith("tests/%3Cscript%3Ealert%281%29%3C/script%3E%22%27%26%0A%3A%3Aerror")
    json.dumps(log, ensure_ascii=False).encode("utf-8")


def test_a_fingerprint_survives_a_shift_of_lines_and_tells_equal_mocks_apart() -> None:
    def prints(shift: int) -> list[str]:
        log = sarif(tree(file("a.py", use("a.py", 1 + shift), use("a.py", 2 + shift), use("a.py", 3, scope="other"))))
        return [each["partialFingerprints"]["mockUse/v1"] for each in log["runs"][0]["results"]]

    assert prints(0) == prints(40)
    assert len(set(prints(0))) == 3


def test_with_a_baseline_each_sarif_result_says_whether_it_is_new(tmp_path: Path) -> None:
    old, now = tree(mocks("a.py", 1), root=str(tmp_path)), tree(mocks("a.py", 2), root=str(tmp_path))
    log = sarif(now, compare(now, record(old, folder=tmp_path), folder=tmp_path))
    assert [each["baselineState"] for each in log["runs"][0]["results"]] == ["unchanged", "new"]


def test_an_annotation_is_one_line_whose_parts_cannot_be_left() -> None:
    hostile = use(HOSTILE, 7, target="a::b%0A\r\n::error::gotcha", evidence="x,y=z:1")
    [line] = annotation_lines([hostile], prefix="sub/", new=False)
    head, _, message = line.removeprefix("::").partition("::")
    assert line.startswith("::warning file=sub/tests/")
    assert len(line.splitlines()) == 1
    properties = dict(part.split("=", 1) for part in head.removeprefix("warning ").split(","))
    assert set(properties) == {"file", "line", "endLine", "title"}
    assert ":" not in "".join(properties.values())
    assert "%2Cy%25" in properties["file"]
    assert message == "Mock stands in for database (a::b%250A\\r\\n::error::gotcha): x,y=z:1"


def test_new_mocks_are_errors_and_old_ones_warnings() -> None:
    uses = [use("a.py", 3, end_line=5)]
    [line] = annotation_lines(uses, prefix="", new=True)
    assert line == (
        "::error file=a.py,line=3,endLine=5,title=New mock%3A Mock (database)"
        "::Mock stands in for database (app.db.pool): fetchrow is awaited on it"
    )
    assert next(annotation_lines(uses, prefix="", new=False)).startswith("::warning ")
