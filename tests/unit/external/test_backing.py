"""What an application under test is told."""

from __future__ import annotations

import pytest

from test_framework.endpoints import ClickHouseEndpoint, PostgresEndpoint, RedisEndpoint, Secret
from test_framework.external.backing import Backing
from test_framework.external.reference.config import ServiceConfig

CANARY = "canary-4711"
POSTGRES = PostgresEndpoint(host="db.example", port=15432, database="mine", password=Secret(CANARY))
REDIS = RedisEndpoint(host="cache.example", port=16379, database=17, password=Secret(CANARY))
CLICKHOUSE = ClickHouseEndpoint(host="events.example", port=18123, database="mine", password=Secret(CANARY))
WHOLE = Backing(postgres=POSTGRES, redis=REDIS, clickhouse=CLICKHOUSE, jwt_secret=Secret(CANARY))


def test_the_variables_lead_to_the_databases_under_the_usual_names_and_ours() -> None:
    variables = WHOLE.variables()
    assert variables["DATABASE_URL"] == POSTGRES.dsn
    assert variables["REDIS_URL"] == REDIS.url
    assert variables["CLICKHOUSE_URL"] == CLICKHOUSE.url
    assert variables["TEST_JWT_SECRET"] == variables["JWT_SECRET"] == CANARY
    assert (variables["TEST_POSTGRES_DB"], variables["TEST_POSTGRES_PORT"]) == ("mine", "15432")
    assert (variables["TEST_REDIS_DB"], variables["TEST_CLICKHOUSE_HTTP_PORT"]) == ("17", "18123")


def test_what_an_application_does_not_need_has_no_variable() -> None:
    assert set(Backing(jwt_secret=Secret("s")).variables()) == {"JWT_SECRET", "TEST_JWT_SECRET"}


def test_no_repr_shows_a_secret() -> None:
    assert CANARY not in repr(WHOLE) + repr(ServiceConfig.of(WHOLE))


@pytest.mark.parametrize("name", ["DATABASE_URL", "REDIS_URL", "JWT_SECRET"])
def test_a_service_without_what_it_needs_says_what_is_missing(name: str) -> None:
    environ = {each: value for each, value in WHOLE.variables().items() if each != name}
    with pytest.raises(LookupError, match=name):
        ServiceConfig.from_environment(environ)


def test_the_service_reads_the_same_from_the_environment_as_from_the_value() -> None:
    assert ServiceConfig.from_environment(WHOLE.variables()) == ServiceConfig.of(WHOLE)
