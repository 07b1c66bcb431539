import fakeredis
import fakeredis.aioredis
import pytest
from fakeredis import FakeStrictRedis

from queue_app import worker


@pytest.fixture
def redis():
    return fakeredis.FakeRedis(decode_responses=True)


@pytest.fixture
async def aredis():
    client = fakeredis.aioredis.FakeRedis()
    yield client
    await client.aclose()


def test_queue(redis):
    redis.lpush("q", 1)
    assert worker.size(redis) == 1


async def test_async_queue(aredis):
    await aredis.set("a", 1)


def test_server(monkeypatch):
    server = fakeredis.FakeServer()
    monkeypatch.setattr(worker, "connect", lambda: FakeStrictRedis(server=server))


def test_class_handed_over(mocker):
    mocker.patch("queue_app.worker.Redis", fakeredis.FakeRedis)
