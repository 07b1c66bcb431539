"""The CI recipes: files of ``examples/ci``, and the shell lines that each job runs, in order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.native_stack import CHECKOUT

__all__ = ["RECIPES", "Job", "jobs", "load"]

RECIPES = sorted(CHECKOUT.joinpath("examples", "ci").glob("*.yml"))
_SCRIPTS = ("before_script", "script", "after_script")
# What says how a job is done and is none itself.
_NO_JOBS = {"stages", "variables", "default", "workflow", "include"}


@dataclass(frozen=True)
class Job:
    """One job. ``lines`` are run one after another, ``last`` whatever became of those."""

    recipe: Path
    name: str
    raw: dict[str, Any]
    lines: tuple[str, ...]
    last: tuple[str, ...] = ()
    after_failure: tuple[str, ...] = ()

    @property
    def variables(self) -> dict[str, str]:
        return {name: str(value) for name, value in self.raw.get("variables", {}).items()}

    @property
    def all_lines(self) -> tuple[str, ...]:
        return (*self.lines, *self.after_failure, *self.last)


def load(recipe: Path) -> dict[Any, Any]:
    document = yaml.safe_load(recipe.read_text())
    assert isinstance(document, dict)
    return document


def jobs(recipe: Path) -> Iterator[Job]:
    """The jobs of one recipe."""
    document = load(recipe)
    if recipe.name.startswith("github"):
        for name, raw in document["jobs"].items():
            yield _github_job(recipe, name, raw)
        return
    for name, raw in document.items():
        if name not in _NO_JOBS:
            before, script, after = (tuple(raw.get(key, ())) for key in _SCRIPTS)
            yield Job(recipe, name, raw, (*before, *script), after)


def _github_job(recipe: Path, name: str, raw: dict[str, Any]) -> Job:
    runs = [(step.get("if", ""), step["run"]) for step in raw["steps"] if "run" in step]
    return Job(
        recipe,
        name,
        raw,
        lines=tuple(line for when, line in runs if not when),
        last=tuple(line for when, line in runs if when == "always()"),
        after_failure=tuple(line for when, line in runs if when == "failure()"),
    )
