"""Fixtures: files, a language model, a WebSocket server, and whole environments made of a test's own resources."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from test_framework.plugin.owned import Owned

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from test_framework.environments.resources import TestEnvironment
    from test_framework.external.filesystem import FilesystemTestResource
    from test_framework.external.http import HttpResource
    from test_framework.external.llm import LlmTestResource
    from test_framework.external.websocket_resource import WebSocketTestResource
    from test_framework.manager.clickhouse import IsolatedClickHouse
    from test_framework.manager.connection import BridgedConnection
    from test_framework.performance.monitor import PerformanceMonitor

__all__ = [
    "analytics_testing_environment",
    "auth_service_integration_environment",
    "comprehensive_test_environment",
    "isolated_filesystem",
    "isolated_websocket",
    "performance_test_environment",
    "real_llm",
    "websocket_integration_environment",
]

# pytest shows the user's line, not ours; --full-trace shows all.
__tracebackhide__ = True


@pytest.fixture
def isolated_filesystem(test_isolation: Owned) -> FilesystemTestResource:
    """A directory of the test's own: ``await create_file(name, content)``, ``await read_file(name)``, ``.path``.

    Removed afterwards; kept with ``--keep-failed`` when the test fails.
    """
    return test_isolation.files


@pytest.fixture
def real_llm(request: pytest.FixtureRequest) -> Iterator[LlmTestResource]:
    """A language model: ``await chat(…)``, ``stream(…)``, ``await embed(…)``.

    Answers come from the test's recording, beside the test file in ``cassettes/``; without one from the endpoint, if
    ``TEST_LLM_API_KEY`` is set, and are recorded when the test passes. With neither the test is skipped when it asks.
    """
    from test_framework.plugin.models import llm_of
    from test_framework.plugin.owned import failed_key

    resource = llm_of(request.node)
    yield resource
    resource.close(save=not request.node.stash.get(failed_key, False))


@pytest.fixture
def isolated_websocket(test_isolation: Owned) -> Iterator[WebSocketTestResource]:
    """A WebSocket server of the test's own and a client of it; it listens when it is first used.

    ``register_message_handler(type, handler)``, ``await send_message(dict)``, ``await receive_message(timeout=5.0)``.
    """
    from test_framework.environments.lazy_websocket import LazyWebSocket

    del test_isolation  # what the handlers may use is given back after the server has ended
    resource = LazyWebSocket()
    yield resource
    resource.close_everywhere()


@pytest.fixture
def comprehensive_test_environment(
    real_postgres: BridgedConnection, real_redis: Redis, real_clickhouse: IsolatedClickHouse,
    isolated_websocket: WebSocketTestResource, real_http_client: HttpResource,
    isolated_filesystem: FilesystemTestResource, real_llm: LlmTestResource,
) -> TestEnvironment:  # fmt: skip
    """A dict of all there is: ``database, redis, clickhouse, websocket, http, filesystem, llm``; attributes, too."""
    from test_framework.environments.resources import TestEnvironment

    return TestEnvironment(
        database=real_postgres,
        redis=real_redis,
        clickhouse=real_clickhouse,
        websocket=isolated_websocket,
        http=real_http_client,
        filesystem=isolated_filesystem,
        llm=real_llm,
    )


@pytest.fixture
def auth_service_integration_environment(
    real_postgres: BridgedConnection, real_redis: Redis, real_http_client: HttpResource
) -> TestEnvironment:
    """``database``, ``redis`` and ``http``, whose service signs up and logs in on that very database."""
    from test_framework.environments.resources import TestEnvironment

    return TestEnvironment(database=real_postgres, redis=real_redis, http=real_http_client)


@pytest.fixture
def websocket_integration_environment(
    real_postgres: BridgedConnection,
    real_redis: Redis,
    isolated_websocket: WebSocketTestResource,
    real_http_client: HttpResource,
) -> TestEnvironment:
    """``database``, ``redis``, ``websocket`` and ``http``."""
    from test_framework.environments.resources import TestEnvironment

    return TestEnvironment(
        database=real_postgres, redis=real_redis, websocket=isolated_websocket, http=real_http_client
    )


@pytest.fixture
def analytics_testing_environment(
    real_clickhouse: IsolatedClickHouse, isolated_filesystem: FilesystemTestResource
) -> TestEnvironment:
    """``clickhouse`` and ``filesystem``."""
    from test_framework.environments.resources import TestEnvironment

    return TestEnvironment(clickhouse=real_clickhouse, filesystem=isolated_filesystem)


@pytest.fixture
def performance_test_environment(
    real_postgres: BridgedConnection, real_redis: Redis, real_clickhouse: IsolatedClickHouse,
    real_http_client: HttpResource, performance_monitor: PerformanceMonitor,
) -> TestEnvironment:  # fmt: skip
    """``database``, ``redis``, ``clickhouse``, ``http`` and ``monitor``, a stopwatch that holds tests to a speed."""
    from test_framework.environments.resources import TestEnvironment

    return TestEnvironment(
        database=real_postgres,
        redis=real_redis,
        clickhouse=real_clickhouse,
        http=real_http_client,
        monitor=performance_monitor,
    )
