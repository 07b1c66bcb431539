"""Which address each server gets, and what clients are told."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from test_framework.endpoints import Endpoints, RedisEndpoint
from test_framework.errors import ResourceUnavailable, SettingsError
from test_framework.stack.addresses import (
    TARGETS,
    Address,
    check_ports,
    choose_addresses,
    endpoints_at,
    published_ports,
    reachable,
)
from test_framework.state import StackState
from tests.unit.stack.definitions import define

FREE = dict.fromkeys((target.variable for target in TARGETS.values()), "0")
ADDRESSES = {name: Address("127.0.0.1", number) for number, name in enumerate(TARGETS, 1000)}


def test_free_ports_are_four_different_ones(tmp_path: Path) -> None:
    for _ in range(20):
        ports = {address.port for address in choose_addresses(define(tmp_path, **FREE)).values()}
        assert len(ports) == 4
        assert 0 not in ports


def test_a_port_that_is_taken_names_the_variable_that_moves_it(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        definition = define(tmp_path, **{**FREE, "TEST_CLICKHOUSE_HTTP_PORT": str(port)})
        with pytest.raises(ResourceUnavailable, match=f"port {port} for test-clickhouse") as caught:
            choose_addresses(definition)
        assert "TEST_CLICKHOUSE_HTTP_PORT" in (caught.value.fix or "")
        check_ports(definition, held={port})


def test_what_a_client_uses_is_a_literal_address() -> None:
    wildcard_and_names = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "localhost": "127.0.0.1", "::": "::1"}
    assert {host: reachable(host) for host in wildcard_and_names} == wildcard_and_names
    assert reachable("192.0.2.1") == "192.0.2.1"


def test_credentials_come_from_the_definition(tmp_path: Path) -> None:
    definition = define(tmp_path, TEST_POSTGRES_USER="u", TEST_REDIS_PASSWORD="p", TEST_CLICKHOUSE_DB="d")
    endpoints = endpoints_at(definition, ADDRESSES)
    assert (endpoints.postgres.user, endpoints.postgres.port) == ("u", ADDRESSES["test-postgres"].port)
    assert endpoints.redis.password.reveal() == "p"
    assert endpoints.clickhouse.database == "d"


@pytest.mark.parametrize(
    ("service", "name"), [("test-postgres", "POSTGRES_PASSWORD"), ("test-clickhouse", "CLICKHOUSE_USER")]
)
def test_a_credential_that_was_withdrawn_is_named(tmp_path: Path, service: str, name: str) -> None:
    definition = define(tmp_path, f"services: {{{service}: {{environment: {{{name}: ''}}}}}}")
    with pytest.raises(SettingsError, match=f"{service} has no {name}"):
        endpoints_at(definition, ADDRESSES)


@pytest.mark.parametrize(("backend", "held"), [("native", {7, 5434, 8125, 9090}), ("external", set())])
def test_a_running_stack_gives_up_the_ports_it_holds_unless_they_are_somebody_elses(
    backend: str, held: set[int]
) -> None:
    state = StackState(
        stack_name="s",
        backend=backend,
        stack_id="",
        definition="",
        project_dir="",
        started_at=0,
        endpoints=Endpoints(redis=RedisEndpoint(port=7)),
    )
    assert published_ports(state) == held
    assert published_ports(None) == set()
