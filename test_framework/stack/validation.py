"""``validate``: ask the live servers whether they are what the definition says."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from xml.etree import ElementTree  # reads our own file alone

from test_framework.errors import FrameworkError
from test_framework.health import probe_all
from test_framework.services.registry import SERVICES
from test_framework.settings import Settings
from test_framework.stack.checks import Check
from test_framework.stack.commands import NATIVE_REDIS, postgres_settings, redis_flags
from test_framework.stack.definition import StackDefinition
from test_framework.state import StackState

__all__ = ["validate_stack"]

_TIMEOUT = 5.0
_CLICKHOUSE_LIMITS = ("max_memory_usage", "max_server_memory_usage")
_VERSIONS = {"postgres": r"15\.", "redis": r"[78]\.", "clickhouse": r"(2[3-9]|[3-9]\d)\."}


async def validate_stack(settings: Settings, definition: StackDefinition, state: StackState) -> list[Check]:
    """Health, versions, seed, identity and every tuned setting, each as one check."""
    report = await probe_all(settings.endpoints, timeout=_TIMEOUT, stack_id=state.stack_id or None)
    checks = [Check("health", report.healthy, str(report.status), "; ".join(p.text for p in report.problems) or None)]
    for reading in report.readings:
        probe = reading.probe
        version = probe.version or "no answer"
        fits = re.match(_VERSIONS[probe.service], version) is not None
        checks.append(Check(f"{probe.service} version", fits, version, "install the version the README names"))
        seed = (
            "nothing"
            if probe.seed is None
            else f"checksum {probe.seed.checksum[:12]}, {sum(probe.seed.counts.values())} rows"
        )
        checks.append(Check(f"{probe.service} seed", probe.seed is not None, seed, "run 'make test-seed'"))
    for service in SERVICES:
        try:
            live = await service.settings(settings.endpoints, _TIMEOUT)
        except FrameworkError as error:
            checks.append(Check(f"{service.name} settings", ok=False, found=error.what, fix=error.fix))
            continue
        checks += _compare(service.name, _wanted(service.name, definition, state.backend), live)
    return checks


def _wanted(service: str, definition: StackDefinition, backend: str) -> dict[str, str]:
    """What the tuned file and then the override ask for; later ones win."""
    images = definition.directory / "images"
    block = definition.services[f"test-{service}"]
    if service == "postgres":
        tuned = dict(_assignments(images / "postgres" / "postgresql.test.conf"))
        return tuned | dict(each.split("=", 1) for each in postgres_settings(block))
    if service == "redis":
        tuned = _words(_lines(images / "redis" / "redis.test.conf"))
        return tuned | (NATIVE_REDIS if backend == "native" else {}) | _words(redis_flags(block))
    limits = {name: block.environment.get(f"CLICKHOUSE_{name.upper()}") for name in _CLICKHOUSE_LIMITS}
    file = images / "clickhouse" / "users.d" / "test.xml"
    profile = ElementTree.parse(file).find("profiles/default")  # noqa: S314 - our own file
    tuned = {each.tag: (each.text or "").strip() for each in profile} if profile is not None else {}
    return tuned | {name: limit for name, limit in limits.items() if limit}


def _words(lines: list[str]) -> dict[str, str]:
    return {name.lower(): value.strip('"') for name, _, value in (line.partition(" ") for line in lines)}


def _lines(file: Path) -> list[str]:
    stripped = (line.partition("#")[0].strip() for line in file.read_text("utf-8").splitlines())
    return [line for line in stripped if line]


def _assignments(file: Path) -> Iterator[tuple[str, str]]:
    for line in _lines(file):
        name, _, value = line.partition("=")
        yield name.strip(), value.strip().strip("'")


def _compare(service: str, wanted: dict[str, str], live: dict[str, str]) -> Iterator[Check]:
    for name, value in sorted(wanted.items()):
        if name not in live:
            continue  # a name this server's version does not know, or does not tell
        units = _UNITS | (_REDIS_UNITS if service == "redis" else {})
        same = _canonical(live[name], units) == _canonical(value, units)
        if name == "notify-keyspace-events":  # the server tells the same letters in an order of its own
            same = sorted(live[name]) == sorted(value)
        found = live[name] if same else f"{live[name]} instead of {value}"
        yield Check(f"{service} {name}", same, found, "the server was started otherwise: make test-down test-up")


_UNITS = {"": 1, "b": 1, "kb": 1024, "mb": 1024**2, "gb": 1024**3, "ms": 1, "s": 1000, "min": 60_000, "h": 3_600_000}
# There a "k" is a thousand, and only "kb" is 1,024.
_REDIS_UNITS = {"k": 1000, "m": 1000**2, "g": 1000**3}


def _canonical(text: str, units: Mapping[str, int]) -> str:
    """``64MB`` and ``67108864`` are the same, and so are ``on`` and ``yes``."""
    lowered = text.strip().strip('"').lower()
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", lowered)
    if match and match.group(2) in units:
        return str(float(match.group(1)) * units[match.group(2)])
    return {"yes": "on", "true": "on", "no": "off", "false": "off", '""': ""}.get(lowered, lowered)
