"""Whole environments: databases, service, WebSocket, files and a language model of one test, up and down together."""
