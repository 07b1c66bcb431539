"""Credentials."""

from __future__ import annotations

import base64

import pytest

from test_framework.embedded_clickhouse.errors import ClickHouseError
from test_framework.embedded_clickhouse.options import Credential
from test_framework.embedded_clickhouse.users import Users

USERS = Users([Credential("a", "p:w"), Credential("open", "")])


def basic(text: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(text.encode()).decode()}


@pytest.mark.parametrize(
    ("headers", "url", "user"),
    [
        (basic("a:p:w"), {}, "a"),
        ({"X-ClickHouse-User": "a", "X-ClickHouse-Key": "p:w"}, {}, "a"),
        ({}, {"user": "a", "password": "p:w"}, "a"),
        (basic("open:"), {}, "open"),
    ],
)
def test_the_right_password_lets_in(headers: dict[str, str], url: dict[str, str], user: str) -> None:
    assert USERS.authenticate(headers, url) == user


@pytest.mark.parametrize(
    ("headers", "url"),
    [
        ({}, {}),
        (basic("a:p"), {}),
        (basic("nobody:p:w"), {}),
        (basic("a:p:w"), {"user": "a"}),
        ({"Authorization": "Basic ?"}, {}),
        (basic(":p:w"), {}),
        ({"X-ClickHouse-Key": "p:w"}, {}),
        ({}, {"user": "", "password": "p:w"}),
        ({"X-ClickHouse-User": "a", "X-ClickHouse-Key": "p:w", **basic("a:p:w")}, {}),
        ({"X-ClickHouse-User": "a", "X-ClickHouse-Key": "p:w"}, {"password": "p:w"}),
    ],
)
def test_anything_else_is_refused_with_one_code(headers: dict[str, str], url: dict[str, str]) -> None:
    with pytest.raises(ClickHouseError) as refused:
        USERS.authenticate(headers, url)
    assert refused.value.code == 516


def test_a_wrong_name_and_a_wrong_password_get_the_same_words() -> None:
    texts = set()
    for headers in (basic("a:wrong"), basic("b:wrong")):
        with pytest.raises(ClickHouseError) as refused:
            USERS.authenticate(headers, {})
        texts.add(refused.value.message.removeprefix("a").removeprefix("b"))
    assert len(texts) == 1


def test_a_quota_key_given_twice_is_a_bad_argument() -> None:
    with pytest.raises(ClickHouseError) as refused:
        USERS.authenticate({**basic("a:p:w"), "X-ClickHouse-Quota": "x"}, {"quota_key": "x"})
    assert refused.value.code == 36
