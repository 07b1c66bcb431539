"""Native stacks for tests. The shared one is read only: change nothing in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.native_stack import NativeStack, new_stack

# Characters that shells, SQL, XML, redis.conf and supervisor's file each treat in a way of their own.
CANARY = "canary-4711'\"\\&<>%s/$x `;#"
PASSWORDS = ("TEST_POSTGRES_PASSWORD", "TEST_REDIS_PASSWORD", "TEST_CLICKHOUSE_PASSWORD")


@pytest.fixture(scope="session")
def cluster_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared clusters are shared by all stacks of the run."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def running(cluster_cache: Path) -> Iterator[NativeStack]:
    """A healthy stack with the shipped seed and awkward passwords."""
    with new_stack(cluster_cache, seed=None) as fresh:
        stack = fresh.having(**dict.fromkeys(PASSWORDS, CANARY))
        stack.up()
        yield stack


@pytest.fixture
def stack(cluster_cache: Path) -> Iterator[NativeStack]:
    """A stack of the test's own with a small seed, not up yet."""
    with new_stack(cluster_cache) as stack:
        yield stack
