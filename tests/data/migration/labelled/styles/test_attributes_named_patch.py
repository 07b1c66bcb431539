"""Clients with methods that are called like mocks'."""


class Client:
    def patch(self, url):
        return self

    def start(self):
        return self

    def call(self, name):
        return name


def test_methods(client):
    api = Client()
    api.patch("/x").start()
    assert api.call("redis")
    client.mock.patch("/y")


def test_monkeypatch_like():
    values = {}
    values.setdefault("Mock", 1)
    assert values["Mock"] == 1
