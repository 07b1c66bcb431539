"""Levels are rows of values; adaption stays inside of them."""

from __future__ import annotations

from typing import Any

import pytest

from test_framework.errors import SettingsError
from test_framework.performance.adaptation import Adaptation
from test_framework.performance.levels import Monitoring, OptimizationLevel, Policy, choose_level, policy_for

GIB = 1024**3


@pytest.mark.parametrize(
    ("level", "tests"), [("DEVELOPMENT", 5), ("CI_FAST", 10), ("CI_THOROUGH", 20), ("PRODUCTION", 50)]
)
def test_a_level_allows_its_number_of_tests_at_once(level: str, tests: int) -> None:
    policy = OptimizationLevel[level].policy
    assert policy.max_concurrent_tests == policy.concurrency == tests
    assert policy.min_clones <= policy.warm_clones <= policy.max_clones


def test_a_higher_level_is_lower_in_nothing() -> None:
    rows = [level.policy for level in OptimizationLevel]
    for name in ("max_concurrent_tests", "pool_max_connections", "warm_clones", "min_clones", "max_clones"):
        values = [getattr(row, name) for row in rows]
        assert values == sorted(values)
        assert len(set(values)) == len(values)


@pytest.mark.parametrize("name", ["CI_FAST", "ci-fast", " ci_fast "])
def test_a_level_is_found_by_any_spelling(name: str) -> None:
    assert choose_level(name) is OptimizationLevel.CI_FAST


def test_an_unknown_level_is_refused_with_the_known_ones() -> None:
    with pytest.raises(SettingsError, match="'fast' is no level") as caught:
        choose_level("fast")
    assert "CI_FAST" in str(caught.value)


@pytest.mark.parametrize(
    ("cores", "gib", "ci", "level"),
    [
        (2, 64, False, "DEVELOPMENT"),
        (2, 64, True, "CI_FAST"),
        (4, 8, False, "CI_FAST"),
        (8, 16, False, "CI_THOROUGH"),
        (32, 64, False, "PRODUCTION"),
        (32, 8, False, "CI_FAST"),
    ],
)
def test_the_machine_decides_when_nobody_does(*, cores: int, gib: int, ci: bool, level: str) -> None:
    assert choose_level(ci=ci, cores=cores, memory=gib * GIB) is OptimizationLevel[level]
    assert choose_level("PRODUCTION", ci=ci, cores=cores, memory=gib * GIB) is OptimizationLevel.PRODUCTION


def test_overrides_change_what_they_name_and_nothing_else() -> None:
    plain = policy_for("CI_FAST")
    policy = policy_for("CI_FAST", {"max_concurrent_tests": 3, "enable_resource_pooling": False})
    assert (policy.max_concurrent_tests, policy.enable_resource_pooling) == (3, False)
    assert (policy.pool_max_connections, policy.warm_clones) == (plain.pool_max_connections, plain.warm_clones)
    assert plain.max_concurrent_tests == 10


@pytest.mark.parametrize(
    "overrides",
    [
        {"max_tests": 1},
        {"max_concurrent_tests": 0},
        {"max_concurrent_tests": True},
        {"pool_max_connections": "9"},
        {"enable_resource_pooling": 1},
    ],
)
def test_an_override_that_means_nothing_is_refused_by_its_name(overrides: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=next(iter(overrides))):
        policy_for("CI_FAST", overrides)


def test_few_connections_allow_few_environments_and_always_one() -> None:
    assert policy_for("PRODUCTION", {"pool_max_connections": 20}).concurrency == 4
    assert policy_for("PRODUCTION", {"pool_max_connections": 1}).concurrency == 1


def test_workers_share_a_row_and_each_keeps_two_databases_ahead() -> None:
    whole = policy_for("CI_THOROUGH")
    part = whole.for_workers(4)
    assert (part.max_concurrent_tests, part.pool_max_connections, part.warm_clones) == (5, 30, 2)
    assert whole.for_workers(1) is whole
    assert whole.for_workers(100).warm_clones == 2
    assert whole.for_workers(100).concurrency == 1


def observed(adaptation: Adaptation, hits: list[bool]) -> list[int]:
    return [size for hit in hits if (size := adaptation.observe(hit=hit)) is not None]


def test_a_pool_grows_with_misses_up_to_its_bound() -> None:
    policy = Policy(max_concurrent_tests=1, pool_max_connections=1, warm_clones=2, min_clones=1, max_clones=6)
    adaptation = Adaptation(policy)
    assert observed(adaptation, [False] * 12) == [3, 4, 6]
    assert adaptation.target == 6


def test_one_miss_among_many_hits_changes_nothing() -> None:
    policy = Policy(max_concurrent_tests=1, pool_max_connections=1, warm_clones=2, min_clones=2, max_clones=6)
    assert observed(Adaptation(policy), [False, *[True] * 30] * 5) == []


def test_a_pool_shrinks_after_a_long_calm_down_to_its_bound() -> None:
    policy = Policy(max_concurrent_tests=1, pool_max_connections=1, warm_clones=4, min_clones=2, max_clones=6)
    assert observed(Adaptation(policy), [True] * 1000) == [3, 2]


def test_the_higher_levels_look_at_memory_too() -> None:
    assert [level.policy.monitoring for level in OptimizationLevel] == [Monitoring.LEASES] * 2 + [Monitoring.MEMORY] * 2
