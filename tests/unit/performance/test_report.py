"""Metrics are merged, findings name the culprit, the report needs nothing but itself."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from test_framework.errors import SettingsError, StackBusy
from test_framework.performance.findings import findings, leaks
from test_framework.performance.metrics import MemorySample, Metrics, percentile
from test_framework.performance.report import as_dict, as_html, summary_lines, write_report

KIB = 1024


def measured(hits: int, misses: int, *, waited: float = 0.001, service: str = "postgres") -> Metrics:
    metrics = Metrics()
    for number in range(hits + misses):
        metrics.acquired(service, waited, hit=number >= misses)
    return metrics


def memory(growth: dict[str, int], *, tests: int = 40, worker: str = "gw0") -> list[MemorySample]:
    """Tests that take turns with the fixtures named, each of which leaves so many bytes."""
    rss, samples = 100 * 1024 * KIB, []
    for number in range(tests * len(growth)):
        name = list(growth)[number % len(growth)]
        rss += growth[name]
        samples.append(MemorySample(test=f"t{number}", worker=worker, rss=rss, fixtures=(name, "tmp_path", "request")))
    return samples


@given(st.lists(st.floats(0, 1000), min_size=1, max_size=60), st.sampled_from([1, 50, 95, 100]))
def test_a_percentile_is_a_value_that_so_many_do_not_exceed(values: list[float], percent: int) -> None:
    found = percentile(values, percent)
    assert found in values
    assert sum(value <= found for value in values) * 100 >= percent * len(values)
    assert sum(value < found for value in values) * 100 < percent * len(values)


def test_figures_of_two_workers_are_one_run() -> None:
    one, two = measured(19, 1), measured(10, 10, waited=0.5, service="redis")
    two.failed("redis", 60.0, StackBusy("full"))
    two.ready(0.05)
    whole = Metrics()
    for each in (one, two):
        whole.merge(Metrics.from_dict(json.loads(json.dumps(each.as_dict()))))
    postgres, redis = whole.services()
    assert (postgres.count, postgres.hits, postgres.hit_ratio) == (20, 19, 0.95)
    assert (redis.count, redis.failures, redis.longest) == (21, 1, 60.0)
    assert whole.environments == [0.05]
    assert whole.acquisitions[-1].failed == "StackBusy"


@pytest.mark.parametrize(("hits", "misses", "found"), [(95, 5, []), (94, 6, ["misses"]), (5, 5, [])])
def test_too_many_misses_are_a_finding_when_there_are_enough_to_tell(hits: int, misses: int, found: list[str]) -> None:
    assert [each.kind for each in findings(measured(hits, misses))] == found


def test_long_waits_and_failures_are_findings_of_one_line_each() -> None:
    metrics = measured(30, 0, waited=0.4, service="clickhouse")
    metrics.failed("redis", 60.0, StackBusy("full"))
    for _ in range(30):
        metrics.ready(0.3)
    assert {(each.kind, each.subject) for each in findings(metrics)} == {
        ("waiting", "clickhouse"),
        ("failures", "redis"),
        ("environments", "environments"),
    }
    assert all("\n" not in str(each) and each.advice for each in findings(metrics))


def test_a_leak_names_the_fixture_that_leaves_memory_behind_and_no_other() -> None:
    (finding,) = leaks(memory({"leaky": 200 * KIB, "clean": 0, "other": KIB}))
    assert (finding.kind, finding.subject) == ("leak", "leaky")
    assert "200 KiB" in finding.text


def test_two_leaks_are_both_named_the_larger_first() -> None:
    found = leaks(memory({"small": 100 * KIB, "large": 900 * KIB, "clean": 0}))
    assert [each.subject for each in found] == ["large", "small"]


def test_a_fixture_that_the_test_names_goes_before_those_that_it_brings() -> None:
    samples = memory({"leaky": 200 * KIB})
    assert [each.subject for each in leaks(samples)] == ["leaky"]


@pytest.mark.parametrize(
    "samples",
    [
        memory({"a": 0, "b": 0}),
        memory({"a": 8 * KIB, "b": 8 * KIB}),
        memory({"a": 200 * KIB}, tests=10),
        [*memory({"a": 0}, tests=30), *(m for m in memory({"a": 0}, tests=30, worker="gw1"))],
    ],
)
def test_what_does_not_grow_or_too_little_or_too_briefly_is_no_leak(samples: list[MemorySample]) -> None:
    assert leaks(samples) == []


def test_a_cache_that_fills_once_is_no_leak() -> None:
    samples = memory({"a": 0, "b": 0})
    grown = [
        MemorySample(test=s.test, worker=s.worker, rss=s.rss + (50_000 * KIB if n >= 30 else 0), fixtures=s.fixtures)
        for n, s in enumerate(samples)
    ]
    assert leaks(grown) == []


def full() -> Metrics:
    metrics = measured(15, 25, waited=0.2)
    metrics.merge(measured(700, 0, service="redis"))
    metrics.memory += memory({"leaky<b>&": 200 * KIB, "clean": 0})
    metrics.ready(0.04)
    return metrics


def test_the_terminal_gets_a_line_for_each_service_and_each_finding() -> None:
    found = summary_lines(full())
    assert found[0].startswith("postgres: 40 namespaces, 37.5% ready")
    assert found[1].startswith("redis: 700 namespaces, 100.0% ready")
    assert sum(line.startswith("! ") for line in found) == 3
    assert summary_lines(Metrics()) == []


class Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href")]


def test_the_page_holds_its_plots_and_loads_nothing() -> None:
    text = as_html(full(), {"level": "CI_FAST <&>"})
    page = Page()
    page.feed(text)
    assert page.addresses == []
    assert "script" not in page.tags
    assert "leaky<b>" not in text
    assert "CI_FAST &lt;&amp;&gt;" in text
    drawings = [ET.fromstring(part.split("</svg>")[0] + "</svg>") for part in _svgs(text)]
    assert len(drawings) == 5
    assert all(len(each.findall(".//rect")) + len(each.findall(".//polyline")) for each in drawings)


def _svgs(text: str) -> list[str]:
    return ["<svg" + part for part in text.split("<svg")[1:]]


def test_a_run_without_services_is_a_page_too() -> None:
    assert "None was asked for" in as_html(Metrics())


def test_the_json_holds_every_figure_of_the_page(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "report.json"
    write_report(file, full(), {"level": "CI_FAST"})
    found = json.loads(file.read_text())
    assert found == json.loads(json.dumps(as_dict(full(), {"level": "CI_FAST"})))
    assert found["services"][0]["hit_ratio"] == 0.375
    assert Metrics.from_dict(found["measured"]).services() == full().services()
    assert found["findings"][0]["subject"] == "leaky<b>&"


def test_a_report_of_another_kind_or_place_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"\.html or \.json"):
        write_report(tmp_path / "report.txt", Metrics())
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="cannot be written"):
        write_report(tmp_path / "file" / "report.html", Metrics())
