from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.embedded_clickhouse.engine_child import EngineChild


@pytest.fixture(scope="module")
def engine() -> Iterator[EngineChild]:
    """The real engine, in memory, beside the tests of one module."""
    child = EngineChild()
    yield child
    child.close()
