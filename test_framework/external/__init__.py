"""Real HTTP, WebSocket, files and language models for tests: each resource is an asynchronous context manager."""
