"""Rules of the rewriter, each on the smallest test that shows it."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from test_framework.migration.rewriter import MARK, Context, Rewrite, rewrite_file
from test_framework.migration.rewriter.safety import trouble, troubles

READ = """
    async def value(redis, name):
        return await redis.get(f"value:{name}")
"""


def rewrite(text: str, code: str = READ) -> Rewrite:
    source = "from unittest.mock import ANY, AsyncMock, MagicMock, Mock, patch\nimport pytest\n"
    return rewrite_file(source + textwrap.dedent(code) + "\n\n" + textwrap.dedent(text))


def test_a_key_is_told_from_the_code_that_asks_for_it() -> None:
    """The key of ``get`` comes from the code under test, with the test's argument in it."""
    found = rewrite("""
        async def test_value():
            redis = AsyncMock()
            redis.get.return_value = "x"
            assert await value(redis, "a") == "x"
    """)
    assert 'await real_redis.set("value:a", "x")' in found.text
    assert found.complete


def test_code_that_is_not_in_sight_is_not_guessed() -> None:
    """A mock that unknown code takes stays, with one comment that names that code."""
    found = rewrite("""
        async def test_value():
            redis = AsyncMock()
            redis.get.return_value = "x"
            assert await elsewhere(redis) == "x"
    """)
    assert found.text.count(MARK) == 1
    assert "elsewhere takes the mock" in found.text
    assert "redis.get.return_value" in found.text


def test_an_answer_that_redis_cannot_give_is_marked() -> None:
    """Redis gives text: a number stays with the mock."""
    found = rewrite("""
        async def test_value():
            redis = AsyncMock()
            redis.get.return_value = 5
            assert await value(redis, "a") == 5
    """)
    assert found.marked == 1
    assert "Redis gives text" in found.text


def test_decorators_are_taken_away_with_their_own_argument() -> None:
    """Of two stacked patches the one of a service goes, with the argument that it gave; the other one stays."""
    code = """
        store = None

        async def remember(text):
            await store.set("text", text)
    """
    body = """
        @patch("time.monotonic")
        @patch("test_module.store", new_callable=AsyncMock)
        async def test_remember(redis_store, clock):
            clock.return_value = 1
            await remember("a")
            redis_store.set.assert_awaited_once_with("text", "a")
    """
    found = rewrite(body, code)
    assert '@patch("time.monotonic")' in found.text
    assert "async def test_remember(clock, monkeypatch, real_redis):" in found.text
    assert 'monkeypatch.setattr("test_module.store", real_redis)' in found.text


def test_a_shared_fixture_stays_for_the_test_that_needs_it() -> None:
    """A fixture that hands a mock on stays as it was for a marked test, beside a changed copy for the others."""
    code = (
        READ
        + """
    @pytest.fixture
    def mock_redis():
        return AsyncMock()

    @pytest.fixture
    def pair(mock_redis):
        return [mock_redis, "a"]
    """
    )
    found = rewrite(
        """
        async def test_value(pair, mock_redis):
            mock_redis.get.return_value = "x"
            assert await value(*pair) == "x"

        async def test_broken(pair, mock_redis):
            mock_redis.get.side_effect = OSError("gone")
            with pytest.raises(OSError):
                await value(*pair)
        """,
        code,
    )
    assert found.rewritten == 1
    assert found.marked == 1
    assert "def pair(mock_redis)" in found.text
    assert "def real_pair(real_redis)" in found.text
    assert "async def test_broken(pair, mock_redis)" in found.text


def test_a_name_with_two_meanings_is_not_renamed() -> None:
    """A name that is a mock of ours first and another one later stays, with its test."""
    found = rewrite("""
        async def test_value():
            thing = AsyncMock(name="redis")
            thing.get.return_value = "x"
            assert await value(thing, "a") == "x"
            thing = Mock()
            thing.print_page()
    """)
    assert found.marked == 1
    assert "thing = Mock()" in found.text


def test_a_mock_of_nothing_of_ours_is_left_alone() -> None:
    """A file that mocks somebody else's interface comes back byte for byte."""
    source = textwrap.dedent("""
        from unittest.mock import Mock


        def test_letter():
            printer = Mock()
            printer.print_page.return_value = True
            assert printer.print_page("a")
            printer.print_page.assert_called_once_with("a")
    """)
    found = rewrite_file(source)
    assert found.text == source
    assert not found.changed
    assert not found.marked


@pytest.mark.parametrize(
    ("said", "demanded"),
    [
        ("text", 'assert await real_redis.get("saved") == "a"'),
        ("str(object())", 'assert await real_redis.exists("saved") == 1'),
    ],
)
def test_any_demands_what_is_known(said: str, demanded: str) -> None:
    """``ANY`` in an assertion demands what the code is seen to write, or else that the key is there."""
    found = rewrite(
        """
        async def test_save():
            redis = AsyncMock()
            await save(redis, "a")
            redis.set.assert_awaited_once_with("saved", ANY)
        """,
        f"""
        async def save(redis, text):
            await redis.set("saved", {said})
        """,
    )
    assert demanded in found.text


def test_rows_fill_what_their_table_demands() -> None:
    """A row of a seeded table gets the columns that the mock left out, and the rows that it refers to."""
    found = rewrite(
        """
        async def test_content():
            db = AsyncMock()
            db.fetchval.return_value = "hello"
            assert await content(db) == "hello"
        """,
        """
        async def content(db):
            return await db.fetchval("SELECT content FROM backend.messages WHERE role = 'tool'")
        """,
    )
    assert found.marked == 1  # without a context no table is known
    context = Context(schema=Context.of(Path(__file__)).schema)
    again = rewrite_file(found.text.replace(f"    {MARK}", "# "), None, context)
    assert "INSERT INTO backend.messages (role, content, conversation_id)" in again.text


def test_a_conftest_is_marked_and_kept(tmp_path: Path) -> None:
    """A conftest's fixture that gives a mock of ours is marked once, since other files may ask for it."""
    path = tmp_path / "conftest.py"
    source = (
        "import pytest\nfrom unittest.mock import AsyncMock\n\n\n"
        "@pytest.fixture\ndef mock_redis():\n    client = AsyncMock()\n"
        "    client.hgetall.return_value = {}\n    return client\n"
    )
    path.write_text(source)
    context = Context.of(path, root=tmp_path)
    found = rewrite_file(source, None, context)
    assert found.text.count(MARK) == 1
    assert found.text.replace(found.text.splitlines()[4] + "\n", "") == source
    assert rewrite_file(found.text, None, context).text == found.text


@pytest.mark.parametrize(
    ("after", "reason"),
    [
        ("def test_a():\n    value = 1\n", "lose an assertion"),
        ("def test_a():\n    pass\n", "lose an assertion"),
        ("def test_b():\n    assert True\n", "a test would be lost"),
        ("def test_a(:\n", "does not compile"),
        ("def test_a():\n    assert value\n", "would miss value"),
    ],
)
def test_the_net_sees_what_must_not_happen(after: str, reason: str) -> None:
    """A lost assertion, a lost test, a lost name and a file that does not compile are each found."""
    assert reason in (trouble("def test_a():\n    value = 1\n    assert value == 1\n", after) or "")


def test_the_net_lets_a_good_rewrite_through() -> None:
    """An assertion on a mock may become one on data."""
    before = "def test_a(m):\n    m.get.assert_called_once()\n"
    assert troubles(before, "def test_a(real):\n    assert real.exists('a')\n") == {}
