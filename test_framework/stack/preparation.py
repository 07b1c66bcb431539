"""What can be done before the first start: installing what a backend lacks; and undoing what is kept between starts."""

from __future__ import annotations

import shutil

import platformdirs

from test_framework.stack.choice import decide
from test_framework.stack.lifecycle import Stack
from test_framework.stack.native import ensure_binaries

__all__ = ["prepare_backend", "purge_caches"]


def prepare_backend(stack: Stack) -> None:
    """Install the programs that the chosen backend lacks.

    Raises:
        BackendUnavailable: something is missing and cannot be installed; the message holds the command to type.
    """
    choice = decide(stack.backend)
    stack.report("", f"backend {choice.name}: {choice.reason}")
    if choice.name == "native":
        found = ensure_binaries(stack.variables, stack.report)
        for program in (found.postgres, found.redis, found.clickhouse):
            if program:
                stack.report("", f"{program.path} {program.version}")


def purge_caches() -> None:
    """Remove everything that is kept between starts. Harmless when there is nothing."""
    shutil.rmtree(platformdirs.user_cache_path("test-framework"), ignore_errors=True)
