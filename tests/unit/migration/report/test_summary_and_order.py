"""The figures under every output: totals, and the order of work."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from test_framework.migration.model import Category, Form, MockUse, TreeReport
from test_framework.migration.reporting.order import FORMULA, Step, order_of_work
from test_framework.migration.reporting.summary import replaceable, summarise
from tests.unit.migration.report.trees import file, mocks, tree, use, varied


@st.composite
def trees(draw: st.DrawFn) -> TreeReport:
    files = []
    for number in range(draw(st.integers(0, 6))):
        path = f"tests/test_{number}.py"
        uses = [
            use(
                path,
                line,
                kind=draw(st.sampled_from(["Mock", "patch", "fakeredis"])),
                category=draw(st.sampled_from(Category)),
                rewritable=draw(st.booleans()),
            )
            for line in range(1, draw(st.integers(0, 14)) + 1)
        ]
        files.append(file(path, *uses))
    return tree(*files)


@given(trees())
def test_every_table_of_totals_adds_up_to_all_uses(report: TreeReport) -> None:
    total = summarise(report)
    assert total.uses == len(report.uses)
    for shares in (total.categories, total.kinds, total.complexities):
        assert sum(share.uses for share in shares) == total.uses
        assert sum(share.replaceable for share in shares) == total.replaceable
        assert sum(share.rewritable for share in shares) == total.rewritable == report.rewritable
    assert sum(share.files for share in total.complexities) == total.files_with_mocks == len(report.with_mocks)


@given(trees())
def test_the_order_of_work_holds_each_file_with_a_replaceable_mock_once_and_falls_in_score(report: TreeReport) -> None:
    tasks = order_of_work(report)
    expected = {each.path for each in report.files if any(map(replaceable, each.uses))}
    assert len(tasks) == len(expected)
    assert {task.path for task in tasks} == expected
    assert [task.score for task in tasks] == sorted((task.score for task in tasks), reverse=True)
    assert sum(task.gain - task.elsewhere for task in tasks) == summarise(report).replaceable


def test_a_file_counts_once_in_each_category_it_has_mocks_of() -> None:
    report = tree(
        file("a.py", use("a.py", 1), use("a.py", 2), use("a.py", 3, category=Category.REDIS)), mocks("b.py", 1)
    )
    assert [(share.name, share.uses, share.files) for share in summarise(report).categories] == [
        ("database", 3, 2),
        ("redis", 1, 1),
    ]


def test_http_is_replaceable_only_where_the_rewriter_has_a_rule_and_time_never() -> None:
    assert replaceable(use("a.py", category=Category.HTTP, rewritable=True))
    assert not replaceable(use("a.py", category=Category.HTTP))
    assert not replaceable(use("a.py", category=Category.TIME))


def test_work_that_a_program_does_comes_before_work_by_hand() -> None:
    tasks = order_of_work(tree(mocks("by_hand.py", 3), mocks("by_program.py", 3, rewritable=True)))
    assert [(task.path, task.step) for task in tasks] == [
        ("by_program.py", Step.MECHANICAL),
        ("by_hand.py", Step.MANUAL),
    ]


def test_the_score_is_what_the_formula_says() -> None:
    report = tree(
        file("a.py", use("a.py", 1, rewritable=True), use("a.py", 2), use("a.py", 3, category=Category.TIME)),
        mocks("b.py", 11),
    )
    scores = {task.path: task.score for task in order_of_work(report)}
    assert scores == {"a.py": 2 / (2 + 0.5 + 3), "b.py": 11 / (2 + 11 * 6)}
    for figure in ("2 for the file", "0.5 for each mock rewritten", "3/4/6 for each rewritten by hand"):
        assert figure in FORMULA


def test_a_fixture_counts_for_the_file_that_pytest_would_take_it_from() -> None:
    def fixture(path: str) -> MockUse:
        return use(path, 1, kind="fixture", form=Form.FIXTURE, target="db")

    def asks(path: str) -> MockUse:
        return use(path, 5, kind="fixture", form=Form.PARAMETER, target="db")

    paths = ("conftest.py", "unit/conftest.py")
    asking = ("test_top.py", "unit/test_near.py", "unit/deep/test_far.py", "unit/test_own.py")
    files = [file(path, fixture(path)) for path in paths]
    files += [file(path, asks(path)) for path in asking[:-1]]
    files.append(file(asking[-1], fixture(asking[-1]), asks(asking[-1])))
    files.append(replace(file("unit/test_unasked.py"), autouse=("db",)))
    elsewhere = {task.path: task.elsewhere for task in order_of_work(tree(*files)) if task.elsewhere}
    assert elsewhere == {"conftest.py": 1, "unit/conftest.py": 3}


def test_the_varied_tree_begins_with_the_fixture_that_others_use() -> None:
    tasks = order_of_work(varied())
    assert tasks[0].path == "tests/conftest.py"
    assert tasks[0].elsewhere == 2
    assert "tests/test_time.py" not in {task.path for task in tasks}
