"""Templates: a file to start from that parses, and whose tests are honestly skipped."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from test_framework.migration.scanner import scan_source
from test_framework.migration.template import template

DATA = Path(__file__).resolve().parents[2] / "data" / "migration"

SOURCE = '''
from unittest.mock import AsyncMock, patch


class TestOrders:
    async def test_total(self):
        """The sum of all items."""
        mock_db = AsyncMock()
        mock_db.fetchrow.return_value = {"id": 1, "total": 42}
        mock_redis = AsyncMock()
        mock_redis.hgetall.return_value = {}
        assert await total(mock_db, mock_redis, 1) == 42
        mock_db.fetchrow.assert_awaited_once()

    def test_plain(self):
        assert 1 + 1 == 2


@patch("time.time", return_value=5)
def test_clock(clock):
    assert now() == 5
'''


def of(source: str, name: str = "test_orders.py") -> str:
    return template(scan_source(source, name), source)


def test_a_skeleton_names_fixtures_and_markers() -> None:
    """A test with mocks of two services gets both fixtures, both markers and its own name and class."""
    text = of(SOURCE)
    assert "class TestOrders:" in text
    assert "    async def test_total(self, real_postgres, real_redis):" in text
    assert "@pytest.mark.requires_postgres" in text
    assert "@pytest.mark.requires_redis" in text


def test_what_the_mocks_said_is_in_the_comments() -> None:
    """Answers and assertions of the mocks are shown where rows and assertions on data belong."""
    given, then = of(SOURCE).split("# When")[0], of(SOURCE).split("# Then")[1]
    assert "mock_db.fetchrow.return_value = {'id': 1, 'total': 42}" in given
    assert "mock_db.fetchrow.assert_awaited_once()" in then


def test_tests_without_mocks_are_left_out() -> None:
    """Only tests that use mocks get a skeleton, and a clock is said to be kept."""
    text = of(SOURCE)
    assert "test_plain" not in text
    assert "keep this mock" in text


def test_a_file_without_mocks_says_so() -> None:
    """There is nothing to write anew, and the result is a module all the same."""
    text = of("def test_one():\n    assert True\n")
    assert "nothing to write anew" in text
    ast.parse(text)


def test_source_that_does_not_parse_is_refused() -> None:
    """A syntax error is a ValueError that names the file."""
    with pytest.raises(ValueError, match=r"test_orders\.py cannot be parsed"):
        template(scan_source(SOURCE, "test_orders.py"), "def broken(:\n")


@pytest.mark.parametrize("path", sorted(DATA.glob("before/test_*.py")), ids=lambda path: path.name)
def test_every_template_parses_and_skips_all(path: Path) -> None:
    """Whatever the file, its template compiles, and each test in it is marked as skipped."""
    text = of(path.read_text("utf-8"), path.name)
    tree = ast.parse(text)
    tests = [node for node in ast.walk(tree) if isinstance(node, ast.AsyncFunctionDef) and node.name.startswith("test")]
    assert tests
    assert all(any("mark.skip" in ast.unparse(each) for each in node.decorator_list) for node in tests)
    assert max(map(len, text.splitlines())) <= 140
