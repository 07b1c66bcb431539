"""What is loaded with what: the command line starts fast because drivers wait until they are used."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("asyncpg", "redis", "aiohttp", "yaml", "clickhouse_connect", "chdb", "pytest")


@pytest.mark.parametrize(
    "module",
    ["test_framework.settings", "test_framework.services.registry", "test_framework.seeding", "seeder.__main__"],
)
def test_no_driver_is_loaded_before_it_is_used(module: str) -> None:
    program = f"import sys, {module}; print([name for name in {HEAVY!r} if name in sys.modules])"
    root = Path(__file__).parents[2]
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=root, check=True)
    assert ended.stdout.strip() == "[]"
