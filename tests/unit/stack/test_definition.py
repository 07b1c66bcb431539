"""The definition is values, or an error that names file and line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from test_framework.errors import SettingsError
from test_framework.stack.definition import SERVICES, find_compose_files, parse_size
from test_framework.stack.shipped import shipped_directory
from tests.unit.stack.definitions import define


def test_the_shipped_definition_has_every_service_with_its_documented_port(tmp_path: Path) -> None:
    services = define(tmp_path).services
    assert set(services) == set(SERVICES)
    wanted = {"test-postgres": (5432, 5434), "test-redis": (6379, 6381), "test-clickhouse": (8123, 8125)}
    for name, (target, published) in {**wanted, "test-monitor": (9090, 9090)}.items():
        port = services[name].port(target)
        assert (port.published, port.host_ip) == (published, "127.0.0.1")


def test_every_tmpfs_has_a_size_and_every_service_a_memory_limit_above_it(tmp_path: Path) -> None:
    for service in define(tmp_path).services.values():
        assert all(each.size for each in service.tmpfs), service.name
        assert service.memory_limit is not None
        assert service.memory_limit > service.tmpfs_bytes * 1.25, service.name


def test_the_last_published_port_wins(tmp_path: Path) -> None:
    definition = define(tmp_path, 'services: {test-redis: {ports: ["127.0.0.1:7000:6379", "7001:6379"]}}')
    assert definition.services["test-redis"].port(6379).published == 7001


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"1:6379"', (1, "0.0.0.0")),
        ('"6379"', (0, "0.0.0.0")),
        ("6379", (0, "0.0.0.0")),
        ('"127.0.0.1::6379"', (0, "127.0.0.1")),
        ('"[::1]:5:6379"', (5, "::1")),
        ('"1:6379/tcp"', (1, "0.0.0.0")),
        ("{target: 6379, published: 3, host_ip: 127.0.0.2}", (3, "127.0.0.2")),
        ("{target: 6379}", (0, "0.0.0.0")),
    ],
)
def test_ports_are_read_in_every_form(tmp_path: Path, text: str, expected: tuple[int, str]) -> None:
    port = (
        define(tmp_path, f"services: {{test-redis: {{ports: !override [{text}]}}}}").services["test-redis"].port(6379)
    )
    assert (port.published, port.host_ip) == expected


@pytest.mark.parametrize(
    ("text", "size"),
    [("1", 1), ("10b", 10), ("2k", 2048), ("2kb", 2048), ("1.5g", 1610612736), ("1GiB", 2**30), ("1 t", 2**40), (7, 7)],
)
def test_sizes_are_read_as_docker_does(text: object, size: int) -> None:
    assert parse_size(text, "here") == size


@pytest.mark.parametrize("text", ["", "lots", "1x", "-1", "1gg", "m", None, [], "1 2"])
def test_what_is_no_size_is_refused_with_its_place(text: object) -> None:
    with pytest.raises(SettingsError, match="is not a size") as caught:
        parse_size(text, "here:1")
    assert caught.value.where == "here:1"


def test_the_digest_changes_with_what_shapes_the_stack_and_with_nothing_else(tmp_path: Path) -> None:
    plain = define(tmp_path).digest
    assert define(tmp_path, "# only a comment\n").digest == plain
    assert define(tmp_path, UNRELATED="x").digest == plain
    assert define(tmp_path, TEST_POSTGRES_PORT="1").digest != plain
    assert define(tmp_path, "services: {test-redis: {command: redis-server}}").digest != plain


def test_files_are_the_named_ones_or_the_projects_own_or_the_shipped(tmp_path: Path) -> None:
    shipped = shipped_directory() / "docker-compose.test.yml"
    assert find_compose_files(tmp_path, {}) == (shipped,)
    own, override = tmp_path / "docker-compose.test.yml", tmp_path / "docker-compose.test.override.yml"
    own.touch()
    override.touch()
    assert find_compose_files(tmp_path, {}) == (own, override)
    named = {"TEST_COMPOSE_FILE": "a.yml", "TEST_COMPOSE_OVERRIDE": "b.yml"}
    (tmp_path / "a.yml").touch()
    assert find_compose_files(tmp_path, named) == (tmp_path / "a.yml", tmp_path / "b.yml")


def test_a_service_that_is_lacking_is_named(tmp_path: Path) -> None:
    (tmp_path / "small.yml").write_text("services: {test-redis: {image: x}}")
    with pytest.raises(SettingsError, match="lacks test-postgres, test-clickhouse"):
        define(tmp_path, TEST_COMPOSE_FILE=str(tmp_path / "small.yml"))


ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 99999)
    | st.sampled_from(["", "a", "1g", "x:y:z:w", "redis-server '", "${", "$$", "a=b", "5432", "/x:size=q"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["size", "type", "tmpfs", "a"]), inner),
    max_leaves=5,
)
KEYS = st.sampled_from(
    ["ports", "environment", "command", "tmpfs", "volumes", "mem_limit", "deploy", "image", "labels", "healthcheck"]
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(block=st.dictionaries(KEYS, ANYTHING, min_size=1, max_size=3) | ANYTHING, service=st.sampled_from(SERVICES))
def test_any_override_is_read_or_refused_with_its_place(tmp_path: Path, block: Any, service: str) -> None:
    try:
        define(tmp_path, json.dumps({"services": {service: block}}))
    except SettingsError as error:
        assert error.where
        assert "docker-compose.test" in error.where
