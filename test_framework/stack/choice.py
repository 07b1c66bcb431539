"""Which backend runs the servers, and why."""

from __future__ import annotations

from dataclasses import dataclass

from test_framework.errors import BackendUnavailable, SettingsError
from test_framework.settings import BACKENDS, Variables
from test_framework.stack.backend import Backend, Report
from test_framework.stack.compose import ComposeBackend
from test_framework.stack.engine import find_engine
from test_framework.stack.external import ExternalBackend
from test_framework.stack.native import NativeBackend

__all__ = ["Choice", "choose_backend", "decide", "make_backend"]

_BACKENDS: dict[str, type[NativeBackend | ComposeBackend | ExternalBackend]] = {
    "native": NativeBackend,
    "compose": ComposeBackend,
    "external": ExternalBackend,
}


@dataclass(frozen=True)
class Choice:
    """A backend's name and the reason for it, in words."""

    name: str
    reason: str


def decide(wanted: str) -> Choice:
    """What ``wanted`` means on this machine: ``auto`` is Docker where an engine answers, otherwise native.

    Raises:
        SettingsError: there is no such backend.
        BackendUnavailable: Docker was asked for and does not answer.
    """
    if wanted not in BACKENDS:
        raise SettingsError(f"there is no backend {wanted!r}", fix=f"use one of {', '.join(BACKENDS)}")
    if wanted in {"native", "external"}:
        return Choice(wanted, "it was asked for")
    engine = find_engine()
    if engine.problem is None:
        asked = "it was asked for" if wanted == "compose" else "a Docker engine answers"
        return Choice("compose", f"{asked} (engine {engine.server_version}, Compose {engine.compose_version})")
    if wanted == "compose":
        raise BackendUnavailable(
            "the backend 'compose' cannot be used", where="docker", cause=engine.problem, fix=engine.fix
        )
    return Choice("native", f"no Docker engine can be used: {engine.problem}")


def choose_backend(wanted: str, stack_name: str, variables: Variables, report: Report) -> Backend:
    """The backend for ``wanted``, reported with its reason. Raises what :func:`decide` raises."""
    choice = decide(wanted)
    report("", f"backend {choice.name}: {choice.reason}")
    return make_backend(choice.name, stack_name, variables, report)


def make_backend(name: str, stack_name: str, variables: Variables, report: Report) -> Backend:
    """The backend called ``name``."""
    return _BACKENDS[name](stack_name=stack_name, variables=variables, report=report)
