"""When a test that needs a service runs, is skipped, or is an error: decided by values alone."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from test_framework.services.base import Probe

__all__ = ["Decision", "Policy", "Verdict", "decide", "judge"]


class Policy(StrEnum):
    """What becomes of a test whose service cannot be reached."""

    REQUIRE = "require"  # it is an error
    AUTO = "auto"  # it is skipped, with a reason that names the remedy
    OFF = "off"  # it is skipped without asking the service


class Verdict(Enum):
    """What becomes of a test now that its service was asked."""

    RUN = "run"
    SKIP = "skip"
    ERROR = "error"


@dataclass(frozen=True)
class Decision:
    """A policy and who asked for it, in words for the header and for skip reasons."""

    policy: Policy
    reason: str

    def describe(self) -> str:
        return {
            Policy.REQUIRE: f"required ({self.reason}): a service that cannot be reached is an error",
            Policy.AUTO: "used where they can be reached, else the test is skipped",
            Policy.OFF: f"switched off ({self.reason}): tests that need one are skipped",
        }[self.policy]


def decide(*, flag: bool | None, variable: bool | None, ini: bool | None, ci: bool) -> Decision:
    """The first who said anything decides.

    Args:
        flag: from the command line.
        variable: ``USE_REAL_SERVICES``.
        ini: the key ``real_services``.
        ci: this runs in continuous integration, where a silent skip would hide that nothing was tested.
    """
    if flag is not None:
        return _said("--real-services" if flag else "--no-real-services", on=flag)
    if variable is not None:
        return _said(f"USE_REAL_SERVICES={str(variable).lower()}", on=variable)
    if ini is not None:
        return _said(f"ini value real_services = {str(ini).lower()}", on=ini)
    if ci:
        return Decision(Policy.REQUIRE, "the variable CI is set")
    return Decision(Policy.AUTO, "nobody said anything else")


def _said(reason: str, *, on: bool) -> Decision:
    return Decision(Policy.REQUIRE if on else Policy.OFF, reason)


def judge(decision: Decision, probe: Probe) -> Verdict:
    """What the service's answer means for a test that needs it.

    A server that is not there, or hangs, is skipped over where nobody requires it. One that answers and refuses us is
    never skipped over: somebody meant it to be used, and a skip would hide the mistake.
    """
    from test_framework.services.base import Health

    if probe.health is Health.HEALTHY:
        return Verdict.RUN
    absent = probe.health in (Health.UNREACHABLE, Health.UNRESPONSIVE)
    return Verdict.SKIP if absent and decision.policy is Policy.AUTO else Verdict.ERROR
