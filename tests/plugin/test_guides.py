"""Every Python snippet of the guides, run as it stands there: mocks with their mocks, the rest against real servers."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.docs.markdown import Block, Page, guides, pages
from tests.native_stack import CHECKOUT
from tests.plugin.harness import Project, Result

# Documents that are no guides, of which those snippets are run that are complete tests.
ALSO = ("README.md", "docs/pytest.md", "docs/fixtures.md")
# Fragments that cannot run by themselves: each says why. The first one would be a decision, not an accident.
NOT_EXECUTED = 0
# Of the ini file in the documentation: what the run sets itself.
OURS = ("[pytest]", "asyncio_mode")


def snippets() -> list[tuple[Page, Block, str]]:
    """Page, block and the file that it becomes."""
    found = []
    for page in [*guides(), *(page for page in pages() if str(page.path.relative_to(CHECKOUT)) in ALSO)]:
        is_guide = page in guides()
        for number, block in enumerate(page.blocks(), 1):
            if block.kind == "file":
                found.append((page, block, block.value))
            elif block.kind == "not executed" or block.language != "python":
                continue
            elif is_guide or block.is_test:
                found.append((page, block, f"test_{page.name}_{number}.py"))
    return found


SNIPPETS = snippets()


def lines_of_the_ini_file() -> list[str]:
    text = "".join(block.text for page in guides() for block in page.blocks("ini") if block.kind == "ini")
    return [line for line in text.splitlines() if line.strip() and not line.startswith(OURS)]


@dataclass(frozen=True)
class Run:
    """The run of all snippets, and the files whose tests were in it, as JUnit names them."""

    result: Result
    modules: frozenset[str]


@pytest.fixture(scope="module")
def run(project_of: Callable[[str], Project]) -> Run:
    """All snippets, each page in a folder of its own, in one run on one stack."""
    project = project_of("guides")
    project.ini("pythonpath = .", *lines_of_the_ini_file())
    for page, block, name in SNIPPETS:
        is_module = name.endswith(".py") and not name.startswith(("test_", "conftest"))
        file = project.path / ("." if is_module else page.name) / name
        file.parent.mkdir(parents=True, exist_ok=True)
        assert not file.exists(), f"{block.place}: there are two files {name} on this page"
        file.write_text(block.text)
    result = project.run("-q", USE_REAL_SERVICES="true")
    cases = ET.parse(project.junit).iter("testcase") if project.junit.exists() else ()
    return Run(result, frozenset(case.get("classname", "") for case in cases))


def test_every_snippet_of_the_guides_passes(run: Run) -> None:
    assert run.result.status == 0, run.result.text
    assert set(run.result.counts()) == {"passed"}, run.result.text


def test_each_snippet_is_a_file_of_tests_that_ran(run: Run) -> None:
    ran = {part for module in run.modules for part in module.split(".")}
    written = {name.removesuffix(".py"): block.place for _, block, name in SNIPPETS if name.startswith("test_")}
    assert written
    # One without a test needs a name, by "<!-- file: … -->", or a reason why it is not run.
    assert not [place for name, place in written.items() if name not in ran], run.result.text


def test_modules_of_the_pages_have_names_of_their_own() -> None:
    names = [name for _, _, name in SNIPPETS if name.endswith(".py") and name != "conftest.py"]
    assert len(names) == len(set(names)), sorted(name for name in names if names.count(name) > 1)


def test_nothing_is_left_out_unless_it_says_why() -> None:
    left_out = [block for page in guides() for block in page.blocks() if block.kind == "not executed"]
    assert all(len(block.value.split()) >= 3 for block in left_out), left_out
    assert len(left_out) <= NOT_EXECUTED, [block.place for block in left_out]
