"""Endpoints are plain data, and show no password unless they are asked for one."""

from __future__ import annotations

import json
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from test_framework.endpoints import (
    ClickHouseEndpoint,
    Endpoints,
    MonitorEndpoint,
    PostgresEndpoint,
    RedisEndpoint,
    Secret,
)

# What cannot be in an environment variable cannot be a password.
PASSWORDS = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), min_size=1)


@given(password=PASSWORDS, user=PASSWORDS, database=PASSWORDS)
def test_a_dsn_gives_its_parts_back_whatever_they_are(password: str, user: str, database: str) -> None:
    dsn = PostgresEndpoint(user=user, password=Secret(password), database=database).dsn
    parts = urlsplit(dsn)
    assert parts.hostname == "localhost"
    assert parts.port == 5434
    assert unquote(parts.username or "") == user
    assert unquote(parts.password or "") == password
    assert unquote(parts.path[1:]) == database


@given(PASSWORDS)
def test_redis_and_clickhouse_urls_give_the_password_back(password: str) -> None:
    for url in (RedisEndpoint(password=Secret(password)).url, ClickHouseEndpoint(password=Secret(password)).url):
        assert unquote(urlsplit(url).password or "") == password


CANARY = Secret("canary-4711")
ENDPOINTS = Endpoints(
    postgres=PostgresEndpoint(password=CANARY),
    redis=RedisEndpoint(password=CANARY, ssl=True),
    clickhouse=ClickHouseEndpoint(password=CANARY, secure=True),
)


@pytest.mark.parametrize(
    "shown",
    [
        repr(ENDPOINTS),
        str(ENDPOINTS),
        f"{CANARY} {CANARY!r}",
        ENDPOINTS.postgres.safe_dsn,
        ENDPOINTS.redis.safe_url,
        ENDPOINTS.clickhouse.safe_url,
        ENDPOINTS.clickhouse.base_url,
    ],
)
def test_no_repr_and_no_safe_form_shows_a_password(shown: str) -> None:
    assert "canary" not in shown


def test_endpoints_cross_json_unchanged() -> None:
    assert Endpoints.from_dict(json.loads(json.dumps(ENDPOINTS.as_dict()))) == ENDPOINTS


def test_unknown_keys_of_a_newer_version_are_ignored() -> None:
    values = {"redis": {"port": 7, "invented": True}, "invented": {}}
    assert Endpoints.from_dict(values).redis == RedisEndpoint(port=7)


def test_an_ipv6_address_is_written_in_brackets() -> None:
    assert MonitorEndpoint(host="::1", port=1).base_url == "http://[::1]:1"
    assert PostgresEndpoint(host="::1", port=1, user="u", database="d").safe_dsn == "postgresql://u:***@[::1]:1/d"


def test_tls_options_are_in_the_urls() -> None:
    assert PostgresEndpoint(sslmode="verify-full", sslrootcert="/a b").dsn.endswith(
        "?sslmode=verify-full&sslrootcert=%2Fa+b"
    )
    assert ENDPOINTS.redis.url.startswith("rediss://")
    assert RedisEndpoint(ssl_ca_certs="/ca").url.endswith("?ssl_ca_certs=%2Fca")
    assert ENDPOINTS.clickhouse.base_url.startswith("https://")


def test_without_a_password_urls_have_no_colon_for_it() -> None:
    assert RedisEndpoint().url == "redis://localhost:6381/0"
    assert PostgresEndpoint(password=Secret()).dsn == "postgresql://test_user@localhost:5434/netra_test"


def test_secrets_compare_by_their_text() -> None:
    assert Secret("a") == Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2
    assert (bool(Secret("a")), bool(Secret())) == (True, False)
