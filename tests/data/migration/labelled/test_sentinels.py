from unittest import mock
from unittest.mock import call, create_autospec, seal, sentinel

from billing.gateway import Gateway
from redis import Redis


def test_passes_through():
    gateway = create_autospec(Gateway)
    gateway.charge.return_value = sentinel.receipt
    assert gateway.charge(sentinel.card, 5) is sentinel.receipt
    assert gateway.mock_calls == [call.charge(sentinel.card, 5)]
    seal(gateway)


def test_redis_spec():
    client = mock.create_autospec(Redis, instance=True)
    client.set("a", 1)
    client.assert_has_calls([mock.call.set("a", 1), mock.call.set("a", 1)][:1])
