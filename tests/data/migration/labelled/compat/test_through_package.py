from compat.base import FakeRedis, Recorder
from compat.compat import patch as replace


def test_subclass():
    client = FakeRedis()
    assert client.get("a")
    assert Recorder().calls == []


def test_replaced():
    with replace("mail.queue.time.time"):
        pass
