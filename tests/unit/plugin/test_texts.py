"""What the plugin prints: addresses without secrets, lines for a shell, variables for an application."""

from __future__ import annotations

import pickle
import shlex

import argon2
import pytest

from test_framework.endpoints import ClickHouseEndpoint, Endpoints, PostgresEndpoint, RedisEndpoint, Secret
from test_framework.plugin import rows
from test_framework.plugin.exports import export, parse_exports, url_variables
from test_framework.plugin.header import header_lines
from test_framework.plugin.keeping import connect_line
from test_framework.plugin.masked import MaskedText
from test_framework.plugin.policy import Decision, Policy
from test_framework.state import StackState

CANARY = "canary-4711"
POSTGRES = PostgresEndpoint(host="db.example", port=15432, database="apes_test_gw0_0123abcd", password=Secret(CANARY))
REDIS = RedisEndpoint(host="::1", port=16379, database=17, password=Secret(CANARY))
CLICKHOUSE = ClickHouseEndpoint(host="127.0.0.1", database="apes_test_gw0_89abcdef", password=Secret(CANARY))
ENDPOINTS = Endpoints(postgres=POSTGRES, redis=REDIS, clickhouse=CLICKHOUSE)


def test_the_line_for_postgres_is_a_psql_command_on_the_tests_database() -> None:
    words = shlex.split(connect_line(POSTGRES))
    assert words[1:] == ["psql", "-h", "db.example", "-p", "15432", "-U", "test_user", "-d", "apes_test_gw0_0123abcd"]


def test_the_line_for_redis_is_a_redis_cli_command_on_the_tests_number() -> None:
    assert shlex.split(connect_line(REDIS))[1:] == ["redis-cli", "-h", "::1", "-p", "16379", "-n", "17"]


def test_the_line_for_clickhouse_asks_its_http_interface_for_the_tests_database() -> None:
    line = connect_line(CLICKHOUSE)
    assert shlex.split(line)[0] == "curl"
    assert "http://127.0.0.1:8125/?database=apes_test_gw0_89abcdef" in line


@pytest.mark.parametrize("endpoint", [POSTGRES, REDIS, CLICKHOUSE])
def test_no_line_holds_a_password(endpoint: PostgresEndpoint | RedisEndpoint | ClickHouseEndpoint) -> None:
    assert CANARY not in connect_line(endpoint)


def test_a_server_without_a_password_is_asked_without_one() -> None:
    assert connect_line(RedisEndpoint(host="h", port=1)) == "redis-cli -h h -p 1 -n 0"


def test_the_header_says_backend_addresses_and_versions_and_no_secret() -> None:
    state = StackState(
        stack_name="mine", backend="native", stack_id="a", definition="b", project_dir="/", started_at=0.0,
        endpoints=ENDPOINTS, versions={"postgres": "15.9", "redis": "7.2.4", "clickhouse": "26.3"},
    )  # fmt: skip
    text = "\n".join(header_lines(ENDPOINTS, state, Decision(Policy.REQUIRE, "--real-services")))
    for part in (
        "native",
        "mine",
        "postgres 15.9 at db.example:15432",
        "redis 7.2.4 at [::1]:16379",
        "--real-services",
    ):
        assert part in text
    assert CANARY not in text


def test_variables_that_the_user_set_are_not_replaced() -> None:
    environ = {"TEST_POSTGRES_PORT": "1"}
    export({"TEST_POSTGRES_PORT": "2", "TEST_POSTGRES_HOST": "db.example"}, environ)
    assert environ["TEST_POSTGRES_PORT"] == "1"
    assert environ["TEST_POSTGRES_HOST"] == "db.example"


def test_urls_are_exported_under_the_names_and_schemes_that_were_asked_for() -> None:
    exports = parse_exports(["DATABASE_URL", "REDIS_URL", "CACHE=redis", "SA_URL=postgresql+asyncpg", "CLICKHOUSE_URL"])
    assert url_variables(ENDPOINTS, exports) == {
        "DATABASE_URL": POSTGRES.dsn,
        "REDIS_URL": REDIS.url,
        "CACHE": REDIS.url,
        "SA_URL": POSTGRES.dsn.replace("postgresql://", "postgresql+asyncpg://"),
        "CLICKHOUSE_URL": CLICKHOUSE.url,
    }


def test_a_url_keeps_its_tls_scheme() -> None:
    secure = Endpoints(redis=RedisEndpoint(host="h", port=1, ssl=True))
    assert url_variables(secure, parse_exports(["REDIS_URL"]))["REDIS_URL"].startswith("rediss://")


@pytest.mark.parametrize("word", ["MY_URL", "DATABASE_URL=mysql", "DATABASE_URL=", "9LIVES=redis", "=redis"])
def test_a_url_that_nobody_understands_is_a_usage_error_that_names_it(word: str) -> None:
    with pytest.raises(pytest.UsageError, match=f"real_services_env holds '{word}'"):
        parse_exports([word])


def test_a_masked_text_is_the_text_to_drivers_and_hidden_in_reprs() -> None:
    text = MaskedText(POSTGRES.dsn, shown=POSTGRES.safe_dsn)
    assert text == POSTGRES.dsn
    assert CANARY not in repr(text)
    assert CANARY not in repr({"dsn": text})
    assert pickle.loads(pickle.dumps(text)) == POSTGRES.dsn


def test_the_stored_hash_is_that_of_the_clear_password() -> None:
    assert argon2.PasswordHasher().verify(rows.PASSWORD_HASH, rows.PASSWORD)
