"""Fixtures: the service under test over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from test_framework.plugin.owned import Owned
from test_framework.plugin.service import OwnService

if TYPE_CHECKING:
    from test_framework.external.http import HttpResource

__all__ = ["real_http_client", "service_url", "test_service"]

# pytest shows the user's line, not ours; --full-trace shows all.
__tracebackhide__ = True


@pytest.fixture
def test_service(test_isolation: Owned, monkeypatch: pytest.MonkeyPatch) -> OwnService:
    """The application that this test speaks to; the other fixtures of this theme share it."""
    test_isolation.service.setenv = monkeypatch.setenv
    return test_isolation.service


@pytest.fixture
def service_url(test_service: OwnService) -> str:
    """``http://127.0.0.1:port`` of the service under test, for any client, synchronous ones included.

    It is the application that ``real_services_app`` names, or the reference service, on the test's own databases; or
    what ``TEST_BACKEND_SERVICE_URL`` says.
    """
    return test_service.url


@pytest.fixture
def real_http_client(test_service: OwnService) -> Iterator[HttpResource]:
    """An ``httpx.AsyncClient`` of the service under test, with ``auth_signup`` and ``auth_login``, retries and breaker.

    The service works on the test's own databases, so PostgreSQL is isolated by a database, not by a transaction.
    """
    client = test_service.http()
    yield client
    client.close_everywhere()
