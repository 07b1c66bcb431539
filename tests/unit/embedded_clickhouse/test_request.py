"""Requests, read."""

from __future__ import annotations

import pytest

from test_framework.embedded_clickhouse.errors import ClickHouseError
from test_framework.embedded_clickhouse.request import read_request


def test_arguments_are_sorted_into_statement_transport_parameters_and_settings() -> None:
    raw = "query=SELECT+1%2B1&param_a=x%20y&max_threads=3&database=d&role=r1&role=r2&query_id=q&session_id=s"
    request = read_request("POST", raw, {})
    assert request.sql == b"SELECT 1+1"
    assert request.params == {"a": "x y"}
    assert request.settings == {"max_threads": "3"}
    assert (request.database, request.query_id, request.session_id) == ("d", "q", "s")
    assert request.roles == ["r1", "r2"]


def test_sql_keeps_bytes_that_are_no_utf8() -> None:
    assert read_request("POST", "query=%ff%00", {}).sql == b"\xff\x00"


def test_a_header_wins_over_the_url_for_format_and_database() -> None:
    headers = {"X-ClickHouse-Format": "CSV", "X-ClickHouse-Database": "h"}
    request = read_request("POST", "default_format=JSON&database=u", headers)
    assert (request.default_format, request.database) == ("CSV", "h")


@pytest.mark.parametrize(("method", "readonly"), [("GET", True), ("HEAD", True), ("POST", False)])
def test_reading_methods_are_readonly(method: str, readonly: bool) -> None:
    assert read_request(method, "", {}).readonly is readonly


@pytest.mark.parametrize(
    "raw", ["session_timeout=x", "session_timeout=-1", "session_timeout=3601", "session_timeout=%C2%B2"]
)
def test_a_bad_session_timeout_is_refused(raw: str) -> None:
    with pytest.raises(ClickHouseError) as refused:
        read_request("POST", raw, {}).session_timeout()
    assert refused.value.code == 374


def test_a_query_without_an_id_gets_one_of_its_own() -> None:
    first, second = read_request("POST", "", {}), read_request("POST", "", {})
    assert first.query_id and first.query_id != second.query_id
