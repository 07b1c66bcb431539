from types import SimpleNamespace
from unittest.mock import AsyncMock, MagicMock

import pytest

from .helpers import Environment, build_socket


@pytest.fixture
def services():
    return {"db": MagicMock(), "name": "x"}


@pytest.fixture
def pair():
    redis, ws = AsyncMock(), AsyncMock()
    return redis, ws


@pytest.fixture
def namespace():
    return SimpleNamespace(http_client=MagicMock())


@pytest.fixture
def client():
    client = make_client()
    client.http_session = MagicMock()
    return client


@pytest.fixture
def socket():
    return build_socket()


@pytest.fixture
def environment():
    return Environment()


@pytest.fixture
def factory():
    def make(value):
        redis = MagicMock()
        redis.get.return_value = value
        return redis

    return make


@pytest.fixture
def only_patched(monkeypatch):
    monkeypatch.setenv("A", "b")
    yield


@pytest.fixture
def result():
    mock = MagicMock(return_value=3)
    mock()
    return 3


def make_client():
    return type("Client", (), {})()
