"""Names are recognisable, safe in SQL and never too long."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from test_framework.errors import SettingsError
from test_framework.isolation.names import Names, check_prefix, could_be_ours, is_ours, key_prefix

PREFIXES = st.from_regex(r"[a-z][a-z0-9_]{2,29}", fullmatch=True).filter(lambda p: not p.startswith(("pg_", "tf_")))


@given(PREFIXES, st.text())
def test_every_name_is_an_identifier_of_ours_whatever_the_worker_is_called(prefix: str, worker: str) -> None:
    names = Names(check_prefix(prefix), worker)
    name = names.new()
    assert name.isascii()
    assert name.isidentifier()
    assert len(name) <= 63
    assert is_ours(name, prefix)
    assert names.is_own(name)


@pytest.mark.parametrize("prefix", ["", "ab", "Abc", "1abc", "a-b-c", "x" * 31, "pg_test", "tf_test", "abc;drop"])
def test_a_prefix_that_could_hit_other_peoples_databases_is_refused(prefix: str) -> None:
    with pytest.raises(SettingsError, match="TEST_DATABASE_PREFIX"):
        check_prefix(prefix)


@pytest.mark.parametrize(
    "name", ["apes_test", "apes_test_gw0", "apes_test_gw0_1234567", "apes_test_gw0_1234567g", "app"]
)
def test_a_name_of_another_form_is_not_ours(name: str) -> None:
    assert not is_ours(name, "apes_test")


def test_another_workers_name_is_ours_and_not_its_own() -> None:
    name = Names("apes_test", "gw1").new()
    assert is_ours(name, "apes_test")
    assert not Names("apes_test", "gw10").is_own(name)
    assert not Names("apes_test", "gw0").is_own(name)


def test_a_key_prefix_names_worker_and_session() -> None:
    assert key_prefix("gw3", 0x1_2345_6789) == "test:gw3_23456789:"


@pytest.mark.parametrize(
    "name", ["apes_test_gw0_1f3a90bc", "other_gw12_00000000", "test:gw3_23456789:", "test:w_0000000a:7:"]
)
def test_what_a_worker_could_have_made_may_be_reclaimed(name: str) -> None:
    assert could_be_ours(name)


@pytest.mark.parametrize(
    "name", ["", ":", "test:", "test:gw3:", "cache:gw3_23456789:", "app_dev", "postgres", "apes_test"]
)
def test_what_no_worker_could_have_made_may_not(name: str) -> None:
    assert not could_be_ours(name)
