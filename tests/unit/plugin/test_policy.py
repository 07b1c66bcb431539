"""Who decides whether services are required, and what an answer means then."""

from __future__ import annotations

import itertools

import pytest

from test_framework.plugin.policy import Decision, Policy, Verdict, decide, judge
from test_framework.services.base import Health
from tests.scripted import probe


@pytest.mark.parametrize("ci", [False, True])
@pytest.mark.parametrize(("flag", "variable", "ini"), list(itertools.product([None, True, False], repeat=3)))
def test_the_first_who_said_anything_decides(
    flag: bool | None, variable: bool | None, ini: bool | None, ci: bool
) -> None:
    said = [each for each in (flag, variable, ini) if each is not None]
    expected = (Policy.REQUIRE if said[0] else Policy.OFF) if said else (Policy.REQUIRE if ci else Policy.AUTO)
    assert decide(flag=flag, variable=variable, ini=ini, ci=ci).policy is expected


def test_the_reason_names_what_was_said() -> None:
    assert decide(flag=True, variable=False, ini=None, ci=True).reason == "--real-services"
    assert decide(flag=None, variable=False, ini=True, ci=True).reason == "USE_REAL_SERVICES=false"
    assert decide(flag=None, variable=None, ini=True, ci=True).reason == "ini value real_services = true"
    assert decide(flag=None, variable=None, ini=None, ci=True).reason == "the variable CI is set"


@pytest.mark.parametrize(
    ("health", "required", "otherwise"),
    [
        (Health.HEALTHY, Verdict.RUN, Verdict.RUN),
        (Health.UNREACHABLE, Verdict.ERROR, Verdict.SKIP),
        (Health.UNRESPONSIVE, Verdict.ERROR, Verdict.SKIP),
        (Health.REFUSED, Verdict.ERROR, Verdict.ERROR),
        (Health.FAILED, Verdict.ERROR, Verdict.ERROR),
    ],
)
def test_only_an_absent_service_is_skipped_over_and_only_where_nobody_requires_it(
    health: Health, required: Verdict, otherwise: Verdict
) -> None:
    assert judge(Decision(Policy.REQUIRE, ""), probe("redis", health=health)) is required
    assert judge(Decision(Policy.AUTO, ""), probe("redis", health=health)) is otherwise
