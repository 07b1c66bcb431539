"""Real HTTP, WebSocket, files and language models, by import.

    from test_framework.external_service_integration import get_external_service_manager

    manager = get_external_service_manager()
    async with manager.websocket() as websocket, manager.filesystem() as files:
        websocket.register_message_handler("greet", lambda message: {"type": "hello"})
        await files.create_file("report.csv", "day,count")

Each resource is an asynchronous context manager: ``websocket()``, ``http(url=None)``, ``filesystem()``, ``llm(name)``.
The classes can be used by themselves, too.
"""

from __future__ import annotations

from test_framework.environments.access import get_external_service_manager
from test_framework.environments.external import ExternalServiceManager
from test_framework.external.filesystem import FilesystemTestResource
from test_framework.external.http import HttpResource
from test_framework.external.llm import LlmTestResource
from test_framework.external.websocket_resource import WebSocketTestResource

__all__ = [
    "ExternalServiceManager",
    "FilesystemTestResource",
    "HttpResource",
    "LlmTestResource",
    "WebSocketTestResource",
    "get_external_service_manager",
]
