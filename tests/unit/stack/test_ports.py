"""Ports: which is free, and who has the other ones."""

from __future__ import annotations

import os
import socket

import pytest

from test_framework.errors import ResourceUnavailable
from test_framework.stack.ports import choose_port, hold_port, port_owner


def test_zero_gives_a_port_that_can_be_bound() -> None:
    port = choose_port("127.0.0.1", 0, service="s", variable="V")
    with socket.create_server(("127.0.0.1", port)):
        assert port > 0


def test_a_held_port_is_nobody_elses() -> None:
    a, b = (hold_port("127.0.0.1", 0, service=name, variable=name) for name in "ab")
    with a as first, b as second:
        assert first != second
    with socket.create_server(("127.0.0.1", first)):
        pass


def test_the_holder_of_a_port_is_named_with_place_and_remedy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with (
            pytest.raises(ResourceUnavailable) as caught,
            hold_port("127.0.0.1", port, service="s", variable="V", place="file:3"),
        ):
            pass
        assert port_owner(port) is not None
    assert caught.value.where == f"127.0.0.1:{port} (file:3)"
    assert f"it is used by pid {os.getpid()} (" in (caught.value.cause or "")
    assert "set V to another port" in (caught.value.fix or "")


def test_nobody_listens_on_a_port_that_is_free() -> None:
    assert port_owner(choose_port("127.0.0.1", 0, service="s", variable="V")) is None


def test_a_port_in_time_wait_is_free() -> None:
    """The servers bind it as well: an earlier run's connections that linger are no obstacle."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            accepted, _ = listener.accept()
            accepted.close()  # the side that closes first is the one that lingers
            assert client.recv(1) == b""
    assert choose_port("127.0.0.1", port, service="s", variable="V") == port


@pytest.mark.parametrize("host", ["192.0.2.1", "nonsense.invalid"])
def test_an_address_that_is_not_ours_blames_nobody(host: str) -> None:
    with pytest.raises(ResourceUnavailable) as caught:
        choose_port(host, 0, service="s", variable="V")
    assert "it is used by" not in (caught.value.cause or "")
    assert "stop that process" not in (caught.value.fix or "")
