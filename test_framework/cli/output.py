"""What the commands print: text for people, one JSON object for scripts."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import shlex
from collections.abc import Iterable
from typing import Any

import click

from test_framework.isolation.values import ReapReport
from test_framework.settings import Settings, endpoint_variables
from test_framework.stack.checks import Check
from test_framework.stack.lifecycle import Stack, UpResult
from test_framework.state import StackState

__all__ = ["describe_up", "environment_text", "show_checks", "show_reaped", "show_status"]


def describe_up(result: UpResult, *, as_json: bool) -> None:
    """Where everything is, after ``up``."""
    state = result.state
    if as_json:
        click.echo(json.dumps({"started": result.started, **_public(state)}, indent=1))
        return
    click.echo(f"{state.stack_name} is {'up' if result.started else 'already up'} ({state.backend})")
    for line in _addresses(state):
        click.echo(f"  {line}")


def _addresses(state: StackState) -> list[str]:
    endpoints, versions = state.endpoints, state.versions

    def version(name: str) -> str:
        return f"   (version {versions[name]})" if versions.get(name) else ""

    return [
        f"postgres    {endpoints.postgres.safe_dsn}{version('postgres')}",
        f"redis       {endpoints.redis.safe_url}{version('redis')}",
        f"clickhouse  {endpoints.clickhouse.base_url}{version('clickhouse')}",
        f"monitor     {endpoints.monitor.base_url}/health-status",
    ]


def _public(state: StackState) -> dict[str, Any]:
    """The published state without the passwords."""
    endpoints = state.endpoints.as_dict()
    for values in endpoints.values():
        values.pop("password", None)
    return {
        "stack": state.stack_name,
        "backend": state.backend,
        "stack_id": state.stack_id,
        "endpoints": endpoints,
        "versions": state.versions,
        "run_dir": state.run_dir,
    }


def show_status(stack: Stack, *, as_json: bool) -> bool:
    """Probe the servers now and show each; returns whether all is healthy."""
    from test_framework.health import probe_all

    state = stack.published()
    report = asyncio.run(probe_all(stack.settings().endpoints, timeout=2.0, stack_id=state.stack_id or None))
    if as_json:
        click.echo(json.dumps(report.as_dict(), indent=1))
        return report.healthy
    click.echo(f"{state.stack_name} ({state.backend}): {report.status}")
    for reading in report.readings:
        probe = reading.probe
        latency = "" if probe.latency_ms is None else f"{probe.latency_ms:.1f} ms"
        seeded = "seeded" if probe.seed else "not seeded"
        facts = (probe.address, probe.version or "", latency, seeded if probe.latency_ms is not None else "")
        click.echo(f"  {probe.service:<11} {probe.health:<13} " + "  ".join(fact for fact in facts if fact))
    for problem in report.problems:
        click.echo(f"  {problem.service or 'stack'}: {problem.text}\n    fix: {problem.fix}")
    return report.healthy


def show_checks(checks: Iterable[Check], *, as_json: bool) -> bool:
    """A line for each check with its remedy if it failed; returns whether none failed."""
    rows = list(checks)
    passed = all(check.ok is not False for check in rows)
    if as_json:
        click.echo(json.dumps({"ok": passed, "checks": [check.as_dict() for check in rows]}, indent=1))
        return passed
    marks = {True: "ok", False: "FAIL", None: "note"}
    for check in rows:
        click.echo(f"{marks[check.ok]:<5} {check.name}: {check.found}")
        if check.fix and check.ok is not True:
            click.echo(f"      fix: {check.fix}")
    return passed


def show_reaped(report: ReapReport, *, as_json: bool) -> bool:
    """What was reclaimed; returns whether nothing had to be left."""
    if as_json:
        values = {**dataclasses.asdict(report), "total": report.total}
        click.echo(json.dumps(values, indent=1))
        return not report.failures
    each = ", ".join(f"{count} in {service}" for service, count in sorted(report.reclaimed.items()))
    reclaimed = sum(report.reclaimed.values())
    click.echo(f"{report.sessions} dead sessions, {reclaimed} namespaces reclaimed ({each or 'none'})")
    click.echo(f"{report.outdated} ready databases of older seeds dropped, {report.kept} kept ones dropped")
    for failure in report.failures:
        click.echo(f"FAIL  {failure}")
    return not report.failures


def environment_text(settings: Settings, style: str) -> str:
    """The endpoints as variables, passwords in clear: this is what the command is for."""
    endpoints = settings.endpoints
    values = {
        "USE_REAL_SERVICES": "true",
        "TEST_STACK_NAME": settings.stack_name,
        **endpoint_variables(endpoints),
        "TEST_DATABASE_URL": endpoints.postgres.dsn,
        "TEST_REDIS_URL": endpoints.redis.url,
        "TEST_CLICKHOUSE_URL": endpoints.clickhouse.url,
    }
    if style == "json":
        return json.dumps(values, indent=1)
    if style == "dotenv":
        return "\n".join(f"{name}={_dotenv_quoted(str(value))}" for name, value in values.items())
    return "\n".join(f"export {name}={shlex.quote(str(value))}" for name, value in values.items())


def _dotenv_quoted(text: str) -> str:
    """Files of that kind know backslashes inside single quotes; shells do not."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
