"""Small projects with mocks, and the command that is run on them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

__all__ = ["CONFTEST", "USERS", "command", "environment", "run", "write"]

CONFTEST = """
from unittest.mock import AsyncMock

import pytest


@pytest.fixture
def fake_db():
    db = AsyncMock()
    db.fetchrow.return_value = {"id": 1}
    return db
"""
USERS = """
from unittest.mock import MagicMock, patch


async def test_user(fake_db):
    assert (await fake_db.fetchrow("SELECT * FROM users"))["id"] == 1


@patch("app.cache.redis_client")
def test_cache(redis_client):
    redis_client.get.return_value = b"1"


def test_both():
    first = MagicMock(name="redis")
    second = MagicMock()
    first.hset("key", "field", 1)
"""
PROJECT = {
    "tests/conftest.py": CONFTEST,
    "tests/test_users.py": USERS,
    "tests/test_broken.py": "def test_it(:\n",
    "tests/test_real.py": '"""patch, Mock()"""\n\n\ndef test_it():\n    assert "Mock()"\n',
    "tests/<script>alert(1)<\n::error::script>.py": "from unittest.mock import Mock\n\n\ndef test_it():\n    Mock()\n",
    "generated/test_gen.py": "from unittest.mock import Mock\n\nclient = Mock()\n",
    ".gitignore": "generated/\n",
}


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())


def environment(folder: Path, **more: str) -> dict[str, str]:
    """What the command sees: a cache of its own, and nothing of CI or of the terminal that the tests run in."""
    hidden = ("CI", "TERM", "COLUMNS", "NO_COLOR", "FORCE_COLOR", "GIT_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    return kept | {"XDG_CACHE_HOME": str(folder / "cache"), "HOME": str(folder / "home"), "TERM": "xterm"} | more


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "test_framework", *arguments]


def run(cwd: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command in ``cwd``; its cache is beside that folder."""
    variables = environment(cwd.parent / f"{cwd.name}-outside", **variables)
    return subprocess.run(command(*arguments), cwd=cwd, env=variables, capture_output=True, text=True, timeout=110)
