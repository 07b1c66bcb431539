from .helpers import build_socket


def test_services(services):
    assert services["db"]


def test_pair(pair, namespace):
    assert pair and namespace


def test_client(client, socket):
    assert client and socket


def test_environment(environment, factory):
    assert environment.database and factory(1)


def test_no_mocks(only_patched, result):
    assert result == 3


async def test_helper():
    assert await build_socket().receive_json()
