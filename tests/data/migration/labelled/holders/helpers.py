from unittest.mock import AsyncMock, MagicMock


def build_socket():
    websocket = AsyncMock()
    websocket.receive_json.return_value = {"a": 1}
    return websocket


class Environment:
    def __init__(self):
        self.database = MagicMock()


class Plain:
    def __init__(self):
        self.database = "sqlite.db"
