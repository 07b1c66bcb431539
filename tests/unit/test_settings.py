"""Environment before .env.test before what the stack published before the defaults; and nothing wrong is overlooked."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from test_framework.endpoints import Endpoints, PostgresEndpoint, RedisEndpoint, Secret
from test_framework.errors import SettingsError
from test_framework.settings import endpoint_variables, load_settings, read_variables
from test_framework.state import StackState, write_state


def published(directory: Path, endpoints: Endpoints) -> None:
    state = StackState(
        stack_name="s",
        backend="native",
        stack_id="i",
        definition="d",
        project_dir="/",
        started_at=0,
        endpoints=endpoints,
    )
    write_state(directory / "s", state)


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"TEST_STACK_NAME": "s", "TEST_STATE_DIR": str(tmp_path / "state")}


def test_defaults_are_the_documented_ones(tmp_path: Path, environ: dict[str, str]) -> None:
    settings = load_settings(tmp_path, environ)
    endpoints = settings.endpoints
    assert endpoints.postgres.dsn == "postgresql://test_user:test_pass@localhost:5434/netra_test"
    assert (endpoints.redis.port, endpoints.clickhouse.port, endpoints.monitor.port) == (6381, 8125, 9090)
    assert (settings.connection_timeout, settings.query_timeout, settings.startup_timeout) == (10.0, 30.0, 60.0)
    assert settings.use_real_services is None
    assert load_settings(tmp_path, {"TEST_STATE_DIR": environ["TEST_STATE_DIR"]}).stack_name == "netra-test"


def test_each_source_wins_over_the_later_ones(tmp_path: Path, environ: dict[str, str]) -> None:
    def port() -> int:
        return load_settings(tmp_path, environ).endpoints.postgres.port

    assert port() == 5434
    published(tmp_path / "state", Endpoints(postgres=PostgresEndpoint(port=1001)))
    assert port() == 1001
    (tmp_path / ".env.test").write_text("TEST_POSTGRES_PORT=1002\n")
    assert port() == 1002
    environ["TEST_POSTGRES_PORT"] = "1003"
    assert port() == 1003


def test_port_zero_means_what_the_stack_published(tmp_path: Path, environ: dict[str, str]) -> None:
    published(tmp_path / "state", Endpoints(redis=RedisEndpoint(port=1001)))
    assert load_settings(tmp_path, {**environ, "TEST_REDIS_PORT": "0"}).endpoints.redis.port == 1001


def test_an_empty_variable_counts_as_unset_but_an_empty_password_is_one(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    endpoints = Endpoints(redis=RedisEndpoint(password=Secret("published")))
    published(tmp_path / "state", endpoints)
    environ |= {"TEST_POSTGRES_HOST": "", "TEST_CONNECTION_TIMEOUT": "", "TEST_REDIS_PASSWORD": ""}
    settings = load_settings(tmp_path, environ)
    assert settings.endpoints.postgres.host == "localhost"
    assert settings.connection_timeout == 10.0
    assert settings.endpoints.redis.password == Secret("")


@pytest.mark.parametrize(("text", "value"), [("true", True), ("1", True), ("ON", True), ("no", False), ("0", False)])
def test_flags_have_many_spellings(tmp_path: Path, environ: dict[str, str], text: str, value: bool) -> None:
    assert load_settings(tmp_path, {**environ, "USE_REAL_SERVICES": text}).use_real_services is value


WRONG = {
    "TEST_POSTGRES_PORT": ("70000", "5434x", "1.5", "-1"),
    "TEST_QUERY_TIMEOUT": ("0", "-1", "inf", "nan", "10s"),
    "TEST_REDIS_SSL": ("maybe",),
    "TEST_BACKEND": ("docker",),
    "TEST_FIXTURES_MODE": ("merge",),
    "TEST_STACK_NAME": ("-x", "a b", "../x", "x" * 49, "Ä"),
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_an_impossible_value_is_named_with_its_variable_and_origin(
    tmp_path: Path, environ: dict[str, str], name: str, value: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(tmp_path, {**environ, name: value})
    assert caught.value.what.startswith(f"{name} has the value {value!r}, which is not ")
    assert caught.value.where == f"environment variable {name}"


@given(st.integers(1, 65535))
def test_any_port_number_is_accepted(tmp_path_factory: pytest.TempPathFactory, port: int) -> None:
    directory = tmp_path_factory.getbasetemp()
    settings = load_settings(directory, {"TEST_STATE_DIR": str(directory), "TEST_MONITOR_PORT": str(port)})
    assert settings.endpoints.monitor.port == port


def test_folders_are_separated_as_in_path_and_relative_to_the_project(tmp_path: Path, environ: dict[str, str]) -> None:
    settings = load_settings(tmp_path, {**environ, "TEST_FIXTURES_DIR": "one:/two"})
    assert settings.fixtures_dirs == (tmp_path / "one", Path("/two"))


def test_settings_show_no_secret(tmp_path: Path, environ: dict[str, str]) -> None:
    environ |= dict.fromkeys(("TEST_POSTGRES_PASSWORD", "TEST_REDIS_PASSWORD", "TEST_LLM_API_KEY"), "canary")
    settings = load_settings(tmp_path, environ)
    assert settings.llm_api_key.reveal() == "canary"
    assert "canary" not in repr(settings)


def test_variables_know_where_each_came_from(tmp_path: Path) -> None:
    (tmp_path / ".env.test").write_text("A=file\nB=file\n")
    variables = read_variables(tmp_path, {"A": "environment"})
    assert dict(variables) == {"A": "environment", "B": "file"}
    assert len(variables) == 2
    assert variables.origin("A") == "environment variable A"
    assert variables.origin("B") == f"B in {tmp_path / '.env.test'}"


def test_variables_made_from_endpoints_are_read_as_the_same_endpoints(tmp_path: Path) -> None:
    endpoints = Endpoints(
        postgres=PostgresEndpoint(
            host="::1", port=1, user="u", password=Secret("p w"), database="d", sslmode="require"
        ),
        redis=RedisEndpoint(host="r", port=2, password=Secret(""), ssl=True, ssl_ca_certs="/ca.pem"),
    )
    assert load_settings(environ=endpoint_variables(endpoints), project_dir=tmp_path).endpoints == endpoints
