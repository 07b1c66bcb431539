"""A small definition of the stack for units that need one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from test_framework.stack.definition import StackDefinition, load_definition
from test_framework.stack.shipped import shipped_directory

__all__ = ["define"]


def define(project: Path, override: str = "", **variables: str) -> StackDefinition:
    """The shipped definition with ``override`` in ``project``."""
    file = project / "docker-compose.test.override.yml"
    file.unlink(missing_ok=True)
    if override:
        file.write_text(override, "utf-8")
    values: Mapping[str, str] = {"TEST_COMPOSE_FILE": str(shipped_directory() / "docker-compose.test.yml"), **variables}
    return load_definition(project, values)
