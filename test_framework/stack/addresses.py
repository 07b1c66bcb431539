"""From the definition to endpoints: which port of which service is published where, and with which credentials."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from test_framework.endpoints import (
    ClickHouseEndpoint,
    Endpoints,
    MonitorEndpoint,
    PostgresEndpoint,
    RedisEndpoint,
    Secret,
)
from test_framework.errors import ResourceUnavailable, SettingsError
from test_framework.stack.definition import ServiceDefinition, StackDefinition
from test_framework.stack.ports import hold_port
from test_framework.state import StackState

__all__ = ["TARGETS", "Address", "check_ports", "choose_addresses", "endpoints_at", "published_ports"]


@dataclass(frozen=True)
class Address:
    """Where a service can be reached from this machine."""

    host: str
    port: int


@dataclass(frozen=True)
class _Target:
    port: int
    variable: str


# The port inside the container, and the variable that moves the published one.
TARGETS = {
    "test-postgres": _Target(5432, "TEST_POSTGRES_PORT"),
    "test-redis": _Target(6379, "TEST_REDIS_PORT"),
    "test-clickhouse": _Target(8123, "TEST_CLICKHOUSE_HTTP_PORT"),
    "test-monitor": _Target(9090, "TEST_MONITOR_PORT"),
}


def reachable(host_ip: str) -> str:
    """The address a client on this machine uses for a server that is bound to ``host_ip``.

    A literal address, never ``localhost``: where that means ``::1`` first, nobody listens there.
    """
    return {"localhost": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host_ip, host_ip)  # noqa: S104 - named, not bound


def choose_addresses(definition: StackDefinition) -> dict[str, Address]:
    """Where each server will listen, with a free port for each that is 0; no two get the same one.

    Raises:
        ResourceUnavailable: a fixed port is taken, or two servers want the same one.
    """
    return _choose(definition, ())


def check_ports(definition: StackDefinition, *, held: Collection[int] = ()) -> None:
    """See whether the fixed ports are free; those in ``held`` are ours and will be given up.

    Raises:
        ResourceUnavailable: one is taken; the message names who has it.
    """
    _choose(definition, held)


def _choose(definition: StackDefinition, held: Collection[int]) -> dict[str, Address]:
    chosen: dict[str, Address] = {}
    with contextlib.ExitStack() as holding:
        for name, target in TARGETS.items():
            port = definition.services[name].port(target.port)
            host = port.host_ip if port.host_ip != "localhost" else "127.0.0.1"
            number = port.published
            if number not in held:
                taken = {each.port: other for other, each in chosen.items()}
                if number in taken:
                    raise ResourceUnavailable(
                        f"{name} and {taken[number]} want the same port {number}",
                        where=port.place,
                        fix=f"give one of them another port ({target.variable}); 0 picks a free one",
                    )
                number = holding.enter_context(
                    hold_port(host, number, service=name, variable=target.variable, place=port.place)
                )
            chosen[name] = Address(host, number)
    return chosen


def published_ports(state: StackState | None) -> set[int]:
    """The ports that a running stack holds and gives up when it is stopped."""
    if state is None or state.backend == "external":
        return set()
    endpoints = state.endpoints
    return {each.port for each in (endpoints.postgres, endpoints.redis, endpoints.clickhouse, endpoints.monitor)}


def endpoints_at(definition: StackDefinition, addresses: Mapping[str, Address]) -> Endpoints:
    """Endpoints of the whole stack: the addresses given, the credentials of the definition.

    Raises:
        SettingsError: the definition lacks a user, password or database.
    """
    postgres = definition.services["test-postgres"]
    clickhouse = definition.services["test-clickhouse"]
    redis = definition.services["test-redis"]

    def at(name: str) -> dict[str, object]:
        address = addresses[name]
        return {"host": reachable(address.host), "port": address.port}

    return Endpoints(
        postgres=PostgresEndpoint(
            **at("test-postgres"),  # type: ignore[arg-type] # host and port, by construction
            user=_needed(postgres, "POSTGRES_USER"),
            password=Secret(_needed(postgres, "POSTGRES_PASSWORD")),
            database=_needed(postgres, "POSTGRES_DB"),
        ),
        redis=RedisEndpoint(
            **at("test-redis"),  # type: ignore[arg-type] # host and port, by construction
            password=Secret(redis.environment.get("REDIS_PASSWORD", "")),
        ),
        clickhouse=ClickHouseEndpoint(
            **at("test-clickhouse"),  # type: ignore[arg-type] # host and port, by construction
            user=_needed(clickhouse, "CLICKHOUSE_USER"),
            password=Secret(_needed(clickhouse, "CLICKHOUSE_PASSWORD")),
            database=_needed(clickhouse, "CLICKHOUSE_DB"),
        ),
        monitor=MonitorEndpoint(**at("test-monitor")),  # type: ignore[arg-type] # host and port, by construction
    )


def _needed(service: ServiceDefinition, name: str) -> str:
    value = service.environment.get(name)
    if not value:
        raise SettingsError(
            f"{service.name} has no {name}",
            where=service.raw.place("environment"),
            fix=f"give it a value under environment of {service.name}",
        )
    return value
