"""``doctor``: what this machine offers, which backend would run the servers, and what is missing."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator

from test_framework.errors import FrameworkError
from test_framework.settings import Variables
from test_framework.stack.addresses import TARGETS
from test_framework.stack.binaries import Binaries, find_binaries
from test_framework.stack.checks import Check
from test_framework.stack.choice import decide
from test_framework.stack.commands import unused_keys
from test_framework.stack.definition import StackDefinition
from test_framework.stack.engine import find_engine
from test_framework.stack.lifecycle import Stack
from test_framework.stack.packages import find_installer
from test_framework.stack.ports import port_owner
from test_framework.stack.run_directory import base_directories, is_tmpfs
from test_framework.state import read_state

__all__ = ["diagnose"]


def diagnose(stack: Stack) -> list[Check]:
    """Look at everything that decides whether ``up`` can work. Changes nothing."""
    checks = [Check("python", sys.version_info >= (3, 11), sys.version.split()[0], "use Python 3.11 or newer")]
    checks += _files(stack)
    chosen = _backend(stack.backend)
    checks.append(chosen)
    engine = find_engine()
    found = engine.problem or f"engine {engine.server_version}, Compose {engine.compose_version}"
    checks.append(Check("docker", None if engine.problem else True, found, engine.fix))
    native_needed = bool(chosen.ok) and chosen.found.startswith("native")
    try:
        checks += _programs(find_binaries(stack.variables), needed=native_needed)
    except FrameworkError as error:
        checks.append(_failed("programs", error))
    return checks


def _failed(name: str, error: FrameworkError) -> Check:
    found = "; ".join(part for part in (error.what, error.where, error.cause) if part)
    return Check(name, ok=False, found=found, fix=error.fix)


def _backend(wanted: str) -> Check:
    try:
        choice = decide(wanted)
    except FrameworkError as error:
        return _failed("backend", error)
    return Check("backend", ok=True, found=f"{choice.name}, because {choice.reason}")


def _files(stack: Stack) -> Iterator[Check]:
    try:
        definition = stack.definition()
        yield Check("definition", ok=True, found=", ".join(map(str, definition.files)))
        for place, key in unused_keys(definition):
            yield Check("override", None, f"{place}: {key} has no effect on the native backend")
        up = read_state(stack.directory)
        yield Check("stack", None, f"{stack.name} is {'up (' + up.backend + ')' if up else 'not up'}")
        if not up:
            yield from _ports(definition)
        yield from _space(definition, stack.variables)
    except FrameworkError as error:
        yield _failed("definition", error)


def _ports(definition: StackDefinition) -> Iterator[Check]:
    for name, target in TARGETS.items():
        port = definition.services[name].port(target.port).published
        owner = port_owner(port) if port else None
        fix = f"set {target.variable} to another port, 0 for any free one"
        found = f"{port} is used by {owner}" if owner else str(port or "any free one")
        yield Check(f"port of {name}", owner is None, found, fix)


def _space(definition: StackDefinition, variables: Variables) -> Iterator[Check]:
    needed = definition.tmpfs_bytes
    base = next((path for path in base_directories(variables) if path.is_dir()), None)
    if base is None:
        yield Check("space", ok=False, found="no directory for the data", fix="set TEST_RUN_DIR to a directory")
        return
    free = shutil.disk_usage(base).free
    kind = "tmpfs" if is_tmpfs(base) else "not in memory, so slower"
    text = f"{base} ({kind}) has {free // 1024**2} MiB free, the stack's limits add up to {needed // 1024**2} MiB"
    yield Check("space", free >= needed, text, "lower the tmpfs sizes in the override file, or set TEST_RUN_DIR")


def _programs(binaries: Binaries, *, needed: bool) -> Iterator[Check]:
    installer = find_installer()
    rows = {
        "postgres": binaries.postgres and f"{binaries.postgres.path} {binaries.postgres.version}",
        "redis": binaries.redis and f"{binaries.redis.path} {binaries.redis.version}",
        "clickhouse": binaries.clickhouse and f"{binaries.clickhouse.path} {binaries.clickhouse.version}",
    }
    if not rows["clickhouse"] and binaries.embedded:
        rows["clickhouse"] = "no server program; the embedded engine (chdb-core) serves instead"
    for name, found in rows.items():
        missing = "not found" + (f" ({'; '.join(binaries.rejected)})" if binaries.rejected else "")
        if name == "clickhouse":
            fix = "pip install 'real-service-test-framework[embedded]'"
        else:
            fix = installer.advice([name]) if installer else "install it with this machine's package manager"
        yield Check(name, True if found else (False if needed else None), found or missing, fix)
