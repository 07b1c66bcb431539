"""Stacks for tests about what goes wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.native_stack import NativeStack, new_stack


@pytest.fixture(scope="session")
def cluster_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared clusters are shared by all stacks of the run."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def stack(cluster_cache: Path) -> Iterator[NativeStack]:
    """A stack of the test's own with a small seed, not up yet."""
    with new_stack(cluster_cache) as stack:
        yield stack


@pytest.fixture(scope="module")
def standing(cluster_cache: Path) -> Iterator[NativeStack]:
    """A healthy stack that must stand whatever is tried on it."""
    with new_stack(cluster_cache) as stack:
        stack.up()
        yield stack
