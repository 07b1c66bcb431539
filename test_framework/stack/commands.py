"""What a service's block says to a native server: settings, flags, and what has no effect without containers."""

from __future__ import annotations

import re
import shlex
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from test_framework.errors import SettingsError
from test_framework.stack.binaries import Binaries
from test_framework.stack.definition import ServiceDefinition, StackDefinition

__all__ = [
    "NATIVE_REDIS",
    "check_commands",
    "clickhouse_flags",
    "postgres_settings",
    "quote_redis",
    "redis_flags",
    "unused_keys",
]

# The append-only file lies on tmpfs and is what lets a killed server come back with its data. A container that is
# restarted has an empty tmpfs, so there it would buy nothing. A title would overwrite the environment, by which we find
# our processes.
NATIVE_REDIS = {"appendonly": "yes", "appendfsync": "no", "set-proc-title": "no"}
# POSTGRES_<NAME> is a server setting, except for these.
_POSTGRES_IDENTITY = {"USER", "PASSWORD", "PASSWORD_FILE", "DB", "INITDB_ARGS", "HOST_AUTH_METHOD"}


def postgres_settings(service: ServiceDefinition) -> list[str]:
    """``name=value`` for each ``POSTGRES_<NAME>`` of the environment, then those of the command's ``-c`` flags.

    Raises:
        SettingsError: the command has something other than ``-c name=value`` after ``postgres``.
    """
    settings = [
        f"{name.removeprefix('POSTGRES_').lower()}={value}"
        for name, value in service.environment.items()
        if name.startswith("POSTGRES_") and name.removeprefix("POSTGRES_") not in _POSTGRES_IDENTITY and value
    ]
    words = list(service.command)
    if words and words[0] == "postgres":
        words.pop(0)
    while words:
        flag, value = words.pop(0), words.pop(0) if words else ""
        if flag != "-c" or "=" not in value:
            raise SettingsError(
                f"the command of test-postgres has {shlex.join([flag, value])}, which cannot be used natively",
                where=service.raw.place("command"),
                fix="write settings as: postgres -c name=value",
            )
        settings.append(value)
    return settings


def redis_flags(service: ServiceDefinition) -> list[str]:
    """Configuration lines from the command's ``--name value…`` flags.

    Raises:
        SettingsError: the command has something else after ``redis-server``.
    """
    words = list(service.command)
    if words and words[0] == "redis-server":
        words.pop(0)
    lines: list[list[str]] = []
    for word in words:
        if word.startswith("--"):
            lines.append([word.removeprefix("--")])
        elif lines:
            lines[-1].append(quote_redis(word))
        else:
            raise SettingsError(
                f"the command of test-redis has {word!r} where a flag is expected",
                where=service.raw.place("command"),
                fix="write it as: redis-server --maxmemory 1gb --maxmemory-policy allkeys-lru",
            )
    return [" ".join(line) for line in lines]


def quote_redis(text: str) -> str:
    """``text`` as one word of ``redis.conf``."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def clickhouse_flags(service: ServiceDefinition) -> list[str]:
    """The command's flags, given to the server as they are."""
    words = list(service.command)
    return words[1:] if words and words[0] == "clickhouse-server" else words


def check_commands(definition: StackDefinition, binaries: Binaries) -> None:
    """Have PostgreSQL and Redis read their settings, and start nothing.

    Raises:
        SettingsError: one of them refuses a name or a value; the message holds what it said.
    """
    postgres, redis = definition.services["test-postgres"], definition.services["test-redis"]
    images = definition.directory / "images"
    if binaries.postgres:
        file = images / "postgres" / "postgresql.test.conf"
        # Asking for one parameter reads all of them. The server insists on knowing its files, and opens none.
        known = [f"config_file={file}", "data_directory=/", "hba_file=/dev/null", "ident_file=/dev/null"]
        words = [word for each in (*known, *postgres_settings(postgres)) for word in ("-c", each)]
        said = _run([str(binaries.postgres.path), "-C", "max_connections", *words])
        refused = re.search(r"(?:FATAL|ERROR): +(.+)", said)
        if refused:
            raise _refused(postgres, refused.group(1), "POSTGRES_<NAME> sets the server's parameter <name>")
    if binaries.redis:
        with tempfile.TemporaryDirectory(prefix="test-framework-") as directory:
            config = Path(directory) / "redis.conf"
            include = f"include {quote_redis(str(images / 'redis' / 'redis.test.conf'))}"
            config.write_text("\n".join([include, *redis_flags(redis)]) + "\n", "utf-8")
            # Without a port it ends as soon as it has read its configuration.
            said = _run([str(binaries.redis.path), str(config), "--port", "0"])
        if "FATAL CONFIG FILE ERROR" in said:
            line, reason = [*said.strip().splitlines(), "", ""][-4:-2]
            raise _refused(redis, f"{line.removeprefix('>>> ')}: {reason}", "flags are those of redis.conf, with --")


def _run(command: Sequence[str]) -> str:
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    return done.stdout


def _refused(service: ServiceDefinition, reason: str, fix: str) -> SettingsError:
    places = (service.raw.place("command"), service.raw.place("environment"))
    return SettingsError(
        f"{service.name} refuses its settings",
        where=", ".join(place for place in places if place),
        cause=reason.strip(),
        fix=f"mend it there; {fix}",
    )


# What the native backend takes from a service's block; of an environment, the names that reach somebody.
_USED = {
    "test-postgres": {"environment", "command", "ports", "tmpfs", "volumes"},
    "test-redis": {"environment", "command", "ports", "tmpfs", "volumes"},
    "test-clickhouse": {"environment", "command", "ports", "tmpfs", "volumes"},
    "test-seeder": set[str](),
    "test-monitor": {"environment", "ports", "tmpfs", "volumes"},
}
_VARIABLES = {"test-postgres": "POSTGRES_.+", "test-redis": "REDIS_PASSWORD"}


def unused_keys(definition: StackDefinition) -> list[tuple[str, str]]:
    """``(file:line, what)`` for everything in the override file that changes nothing natively.

    The main file's own container options are meant for containers only, and are not listed.
    """
    overrides = {str(file) for file in definition.files[1:]}
    return [
        (place, what)
        for service in definition.services.values()
        for place, what in _without_effect(service)
        if place.rpartition(":")[0] in overrides
    ]


def _without_effect(service: ServiceDefinition) -> Iterator[tuple[str, str]]:
    for key in service.raw:
        if key not in _USED[service.name]:
            yield service.raw.place(key), f"{key!r} of {service.name}"
    names = _VARIABLES.get(service.name)
    environment = service.raw.get("environment")
    if names and environment:
        for name in environment:
            if not re.fullmatch(names, name):
                yield environment.place(name), f"{name!r} in the environment of {service.name}"
