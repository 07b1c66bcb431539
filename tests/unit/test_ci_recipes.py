"""The CI recipes are files that their systems accept, and whose shell lines are sound."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.docs.recipes import RECIPES, Job, jobs, load
from tests.native_stack import CHECKOUT

SYSTEMS = {"github": "github-workflows", "gitlab": "gitlab-ci"}
PROGRAMS = {"pip", "test-framework", "pytest", "python3", "."}
IDS = [recipe.name for recipe in RECIPES]


def schema_of(recipe: Path) -> dict[str, Any]:
    name = SYSTEMS[recipe.name.partition("-")[0]]
    text = resources.files("check_jsonschema").joinpath(f"builtin_schemas/vendor/{name}.json").read_text("utf-8")
    schema = json.loads(text)
    assert isinstance(schema, dict)
    return schema


def complaints(recipe: Path, document: dict[Any, Any]) -> list[str]:
    schema = schema_of(recipe)
    kind = jsonschema.validators.validator_for(schema)
    return [error.message for error in kind(schema).iter_errors(document)]


def all_jobs() -> list[Job]:
    return [job for recipe in RECIPES for job in jobs(recipe)]


def test_there_is_a_recipe_for_each_system_and_each_way_to_run_the_servers() -> None:
    ways = ("native", "compose", "services")
    assert {f"{system}-{way}.yml" for system in SYSTEMS for way in ways} <= set(IDS)


@pytest.mark.parametrize("recipe", RECIPES, ids=IDS)
def test_a_recipe_is_clean_yaml(recipe: Path) -> None:
    command = [sys.executable, "-m", "yamllint", "--strict", "-c", str(CHECKOUT / ".yamllint.yml"), str(recipe)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("recipe", RECIPES, ids=IDS)
def test_a_recipe_is_what_its_system_accepts(recipe: Path) -> None:
    assert complaints(recipe, load(recipe)) == []


@pytest.mark.parametrize("recipe", RECIPES, ids=IDS)
def test_a_misspelt_key_of_a_job_would_be_noticed(recipe: Path) -> None:
    document = copy.deepcopy(load(recipe))
    jobs_of = document["jobs"] if recipe.name.startswith("github") else document
    name = next(iter(jobs(recipe))).name
    jobs_of[name]["timeoutminutes"] = 5
    assert complaints(recipe, document)


@pytest.mark.parametrize("recipe", RECIPES, ids=IDS)
def test_the_shell_lines_have_no_fault_that_shellcheck_knows(recipe: Path) -> None:
    for job in jobs(recipe):
        # A job on GitLab sources files that exist only there.
        script = "\n".join(["#!/bin/sh", *(line for line in job.all_lines if not line.startswith(". "))]) + "\n"
        done = subprocess.run(
            [str(Path(sys.executable).with_name("shellcheck")), "-"],
            input=script,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("job", all_jobs(), ids=lambda job: f"{job.recipe.name}:{job.name}")
def test_every_line_begins_with_a_program_that_the_job_has(job: Job) -> None:
    assert job.lines
    assert {line.split()[0] for line in job.all_lines} <= PROGRAMS


@pytest.mark.parametrize("job", all_jobs(), ids=lambda job: f"{job.recipe.name}:{job.name}")
def test_a_job_that_starts_servers_stops_them_whatever_happened(job: Job) -> None:
    starts = any("test-framework up" in line and "external" not in line for line in job.lines)
    assert starts == any("test-framework down" in line for line in job.last)


@pytest.mark.parametrize("job", all_jobs(), ids=lambda job: f"{job.recipe.name}:{job.name}")
def test_a_job_that_tests_fails_when_a_service_is_missing(job: Job) -> None:
    tests = [line for line in job.lines if line.startswith("pytest")]
    assert all("--real-services" in line for line in tests)
    assert tests or any("scan" in line for line in job.lines)


@pytest.mark.parametrize(
    "job", [job for job in all_jobs() if job.recipe.name.startswith("github")], ids=lambda job: job.recipe.name
)
def test_a_workflow_has_a_time_limit_and_may_only_read(job: Job) -> None:
    assert job.raw["timeout-minutes"] <= 20
    assert load(job.recipe)["permissions"] == {"contents": "read"}
