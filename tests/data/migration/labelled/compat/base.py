from unittest.mock import MagicMock


class FakeRedis(MagicMock):
    """Counts what is asked."""


class Recorder:
    def __init__(self):
        self.calls = []
