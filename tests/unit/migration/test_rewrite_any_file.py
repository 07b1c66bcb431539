"""Whatever Python file the rewriter gets: it never fails, and changes nothing where there is no mock of ours."""

from __future__ import annotations

import ast
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from test_framework.migration.rewriter import Context, rewrite_file
from test_framework.migration.rewriter.safety import trouble

LIBRARY = Path(sysconfig.get_path("stdlib"))
PACKAGES = Path(sysconfig.get_path("purelib"))
LABELLED = Path(__file__).resolve().parents[2] / "data" / "migration" / "labelled"


def readable(paths: Iterator[Path], *, limit: int) -> list[Path]:
    """Some of the files, spread over all of them."""
    found = sorted(path for path in paths if path.is_file() and path.stat().st_size < 60_000)
    return found[:: max(len(found) // limit, 1)]


def test_files_without_mocks_come_back_as_they_were() -> None:
    """Files of the standard library and of installed packages stay byte for byte, and nothing is raised."""
    paths = [
        *readable(LIBRARY.glob("*.py"), limit=30),
        *readable(LIBRARY.glob("test/**/test_*.py"), limit=30),
        *readable(PACKAGES.glob("**/test*/test_*.py"), limit=30),
        *readable(PACKAGES.glob("**/conftest.py"), limit=20),
    ]
    assert len(paths) >= 50
    for path in paths:
        source = path.read_bytes().decode("utf-8", "surrogateescape")
        rewrite = rewrite_file(source)
        assert rewrite.text == source, path
        assert not rewrite.changed
        assert not any("rewriter failed" in note for note in rewrite.notes), (path, rewrite.notes)


def test_every_labelled_file_survives() -> None:
    """Files with all forms of mocks lose no test and no assertion, and a second run changes nothing."""
    paths = sorted(LABELLED.rglob("*.py"))
    assert len(paths) >= 40
    for path in paths:
        source = path.read_bytes().decode("utf-8", "surrogateescape")
        context = Context.of(path, root=LABELLED)
        rewrite = rewrite_file(source, None, context)
        assert not any("rewriter failed" in note for note in rewrite.notes), (path, rewrite.notes)
        if not rewrite.changed:
            assert rewrite.text == source
            continue
        assert trouble(source, rewrite.text) is None, path
        again = rewrite_file(rewrite.text, None, context)
        assert again.text == rewrite.text, path


@pytest.mark.parametrize(
    "source",
    [
        "",
        "\n",
        "# only a comment\n",
        "def broken(:\n",
        "mock = '\x00'\n",
        "from unittest.mock import AsyncMock\n",
        "mock\r\n",
    ],
)
def test_odd_files_come_back(source: str) -> None:
    """An empty file, one that does not parse, and one that only imports come back as they were."""
    assert rewrite_file(source).text == source


NAMES = st.sampled_from(["mock_redis", "mock_db", "redis", "conn", "value", "service"])
METHODS = st.sampled_from(["get", "set", "fetchrow", "execute", "hgetall", "delete", "pipeline", "acquire", "strange"])
VALUES = st.sampled_from(
    ["None", "1", "'x'", "b'x'", "{'id': 1}", "[{'id': 1}]", "ValueError('no')", "object()", "[None, 1]"]
)
LINES = st.one_of(
    st.builds("{0}.{1}.return_value = {2}".format, NAMES, METHODS, VALUES),
    st.builds("{0}.{1}.side_effect = {2}".format, NAMES, METHODS, VALUES),
    st.builds("{0} = AsyncMock()".format, NAMES),
    st.builds("found = await {0}.{1}('k', {2})".format, NAMES, METHODS, VALUES),
    st.builds("assert await {0}.{1}('SELECT id FROM things WHERE id = $1', 1)".format, NAMES, METHODS),
    st.builds("{0}.{1}.assert_called_once_with('k', {2})".format, NAMES, METHODS, VALUES),
    st.builds("{0}.{1}.assert_not_called()".format, NAMES, METHODS),
    st.builds("assert {0}.{1}.call_count == 1".format, NAMES, METHODS),
    st.builds("assert {0}.{1}.call_args[0][1] == {2}".format, NAMES, METHODS, VALUES),
    st.builds("with patch('m.{0}') as {0}:\n        {0}.{1}()".format, NAMES, METHODS),
    st.builds("for each in [1, 2]:\n        await {0}.{1}(each)".format, NAMES, METHODS),
    st.builds("if {0}:\n        {0}.{1}.assert_called()".format, NAMES, METHODS),
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(LINES, min_size=1, max_size=6), st.sets(NAMES, max_size=3))
def test_any_test_keeps_its_assertions(lines: list[str], parameters: set[str]) -> None:
    """Any mixture of what tests do with mocks is rewritten whole or stays, and a second run changes nothing."""
    body = "\n    ".join(lines)
    head = f"async def test_it({', '.join(sorted(parameters))}):"
    source = f"from unittest.mock import AsyncMock, patch\n\n\n{head}\n    {body}\n"
    ast.parse(source)
    rewrite = rewrite_file(source)
    assert not any("rewriter failed" in note for note in rewrite.notes), rewrite.notes
    assert trouble(source, rewrite.text) is None
    assert rewrite_file(rewrite.text).text == rewrite.text
    assert rewrite.complete or not rewrite.rewritten or rewrite.notes or "Mock" in rewrite.text
