"""The HTML page in a real browser."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from test_framework.migration.model import Category
from test_framework.migration.reporting.order import order_of_work
from test_framework.migration.reporting.page import page as html_page
from test_framework.migration.reporting.text import printable
from tests.integration.migration.browser import Page, open_page, run_browser
from tests.unit.migration.report.trees import HOSTILE, file, mocks, tree, use, varied

REPORT = varied()
SHOWN = "#files tbody tr:not(.details):not([hidden]) th"
FILES = f"Array.from(document.querySelectorAll('{SHOWN}'), cell => cell.textContent)"
CONTRAST = """
(() => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgba = (color) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    return canvas.getImageData(0, 0, 1, 1).data;
  };
  const luminance = (color) => {
    const [r, g, b] = Array.from(rgba(color)).slice(0, 3).map((part) => part / 255)
      .map((part) => part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const color = getComputedStyle(each).backgroundColor;
      if (rgba(color)[3] === 255) return color;
    }
    return 'white';
  };
  const worst = [];
  for (const element of document.querySelectorAll('body *')) {
    const own = Array.from(element.childNodes).some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || ['SCRIPT', 'STYLE', 'title', 'desc', 'OPTION'].includes(element.tagName)) continue;
    const style = getComputedStyle(element);
    const color = element instanceof SVGElement ? style.fill : style.color;
    const [one, two] = [luminance(color), luminance(behind(element))].sort((a, b) => b - a);
    worst.push([(one + 0.05) / (two + 0.05), element.outerHTML.slice(0, 80)]);
  }
  return worst.sort((a, b) => a[0] - b[0])[0];
})()
"""


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "mocks.html"
    path.write_text(html_page(REPORT), "utf-8")
    return path


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with run_browser(tmp_path_factory.mktemp("browser")) as address:
        yield address


@pytest.fixture
async def page(document: Path, browser: str) -> AsyncIterator[Page]:
    """The page, in a browser that must have nothing to complain of when the test is over."""
    async with open_page(browser, document.as_uri()) as opened:
        yield opened
        assert opened.complaints == []
        assert opened.requests == [document.as_uri()]


async def test_the_files_stand_in_the_order_of_work_and_every_name_is_text(page: Page) -> None:
    expected = [task.path for task in order_of_work(REPORT)]
    expected += [each.path for each in REPORT.with_mocks if each.path not in expected]
    assert await page.run(FILES) == [printable(path) for path in expected]
    assert printable(HOSTILE) in await page.run(FILES)
    assert await page.run("document.querySelectorAll('script').length") == 2
    assert await page.run("document.querySelectorAll('img, b, tbody script').length") == 0


async def test_pressing_a_column_sorts_by_it_and_pressing_again_turns_the_order(page: Page) -> None:
    numbers = "Array.from(document.querySelectorAll('#files tbody tr'), row => Number(row.cells[4].dataset.value))"
    sorts = "Array.from(document.querySelectorAll('#files thead th'), head => head.getAttribute('aria-sort'))"
    await page.click("#files thead button", 4)
    assert await page.run(numbers) == sorted((len(each.uses) for each in REPORT.with_mocks), reverse=True)
    assert await page.run(sorts) == [None] * 4 + ["descending"] + [None] * 6
    await page.click("#files thead button", 4)
    assert await page.run(numbers) == sorted(len(each.uses) for each in REPORT.with_mocks)
    await page.click("#files thead button", 0)
    assert await page.run(FILES) == sorted(printable(each.path) for each in REPORT.with_mocks)


async def test_typing_and_choosing_show_the_files_that_match_and_say_how_many(page: Page) -> None:
    await page.click("input[name=words]")
    await page.type("FREEZEGUN test_time")
    assert await page.run(FILES) == ["tests/test_time.py"]
    assert await page.run("document.getElementById('shown').textContent") == "1 of 5 files shown"
    choose = """(name, value) => {
      const form = document.getElementById('filter');
      form.elements.words.value = '';
      form.elements[name].value = value;
      form.elements[name].dispatchEvent(new Event('input', {bubbles: true}));
    }"""
    await page.run(f"({choose})('category', 'time')")
    assert await page.run(FILES) == ["tests/test_all.py", "tests/test_time.py"]
    await page.run(f"({choose})('step', 'stays')")
    assert await page.run(FILES) == ["tests/test_time.py"]
    await page.run(f"({choose})('complexity', 'complex')")
    assert await page.run(FILES) == []


async def test_pressing_a_file_unfolds_its_mocks_as_text_and_pressing_again_folds_them(page: Page) -> None:
    place = (await page.run(FILES)).index(printable(HOSTILE))
    expanded = f"document.querySelectorAll('#files tbody button')[{place}].getAttribute('aria-expanded')"
    await page.click("#files tbody button", place)
    assert await page.run(expanded) == "true"
    [line] = await page.run("Array.from(document.querySelectorAll('.details li'), item => item.textContent)")
    assert line == (
        "line 7: Mock → </script><img src=x onerror=alert(2)> (database: <b>bold</b>) in a\\nb - replaced by hand"
    )
    # What is unfolded stays with its file when the order changes.
    await page.click("#files thead button", 0)
    above = await page.run("document.querySelector('.details').previousElementSibling.cells[0].textContent")
    assert above == printable(HOSTILE)
    await page.click("#files tbody button", (await page.run(FILES)).index(printable(HOSTILE)))
    assert await page.run("document.querySelectorAll('.details').length") == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_text_stands_out_from_what_is_behind_it(page: Page, scheme: str) -> None:
    await page.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    behind = await page.run("getComputedStyle(document.body).backgroundColor")
    assert behind == {"light": "rgb(255, 255, 255)", "dark": "rgb(18, 22, 28)"}[scheme]
    await page.click("#files tbody button")
    worst, where = await page.run(CONTRAST)
    assert worst >= 4.5, where


async def test_every_control_and_chart_has_a_name_for_those_who_do_not_see_it(page: Page) -> None:
    await page.ask("Accessibility.enable")
    nodes: list[dict[str, Any]] = (await page.ask("Accessibility.getFullAXTree"))["nodes"]
    wanted = {"button", "searchbox", "combobox", "image", "link", "table", "columnheader", "rowheader"}
    named = [
        (node["role"]["value"], node.get("name", {}).get("value", ""))
        for node in nodes
        if not node.get("ignored") and node["role"]["value"] in wanted
    ]
    assert {role for role, _ in named} == wanted
    assert [role for role, name in named if not name] == []
    titles = await page.run("Array.from(document.querySelectorAll('.chart title'), title => title.textContent)")
    assert len(titles) == 3
    assert [name for role, name in named if role == "image"] == titles


async def test_the_charts_are_as_long_as_the_numbers_say(page: Page) -> None:
    widths = await page.run(
        "Object.fromEntries(Array.from(document.querySelectorAll('[aria-labelledby^=by-category] g'), group =>"
        " [group.querySelector('.label').textContent,"
        "  Array.from(group.querySelectorAll('rect'), bar => bar.width.baseVal.value).reduce((a, b) => a + b)]))"
    )
    unit = widths["llm"]
    for category, number in REPORT.categories.items():
        assert widths[category.value] == pytest.approx(number * unit, abs=0.3), category


async def test_a_phone_scrolls_the_table_and_never_the_page(page: Page) -> None:
    await page.ask("Emulation.setDeviceMetricsOverride", width=390, height=800, deviceScaleFactor=1, mobile=True)
    wide = await page.run("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert wide[0] <= wide[1]


async def test_three_thousand_files_are_sorted_by_one_press(browser: str, tmp_path: Path) -> None:
    files = [mocks(f"tests/test_{number:04}.py", number % 23 + 1) for number in range(3000)]
    large = tmp_path / "large.html"
    large.write_text(html_page(tree(*files)), "utf-8")
    async with open_page(browser, large.as_uri()) as page:
        await page.click("#files thead button", 4)
        numbers = await page.run(
            "Array.from(document.querySelectorAll('#files tbody tr'), row => Number(row.cells[4].dataset.value))"
        )
        assert numbers == sorted((len(each.uses) for each in files), reverse=True)
        assert page.complaints == []


def test_the_page_names_no_address_outside_of_itself() -> None:
    text = html_page(REPORT)
    assert re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]+", text) == []
    assert re.findall(r'(?:src|href)="(?!#|data:,")', text) == []


def test_a_tree_without_mocks_gives_a_page_as_well() -> None:
    assert "0 files" in html_page(tree())
    assert "0 files" in html_page(tree(file("a.py")))
    assert Category.OTHER.value in html_page(tree(file("a.py", use("a.py", category=Category.OTHER))))
