"""The resolved definition of the stack, as values: what the compose file and its override say."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from test_framework.errors import SettingsError
from test_framework.stack.compose_file import Located, load_compose
from test_framework.stack.shipped import shipped_directory

__all__ = ["Port", "ServiceDefinition", "StackDefinition", "Tmpfs", "load_definition"]

COMPOSE_FILE = "docker-compose.test.yml"
OVERRIDE_FILE = "docker-compose.test.override.yml"
SERVICES = ("test-postgres", "test-redis", "test-clickhouse", "test-seeder", "test-monitor")
_UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([kmgt]?)(?:i?b)?", re.IGNORECASE)


@dataclass(frozen=True)
class Port:
    """A published port. ``published`` 0 means any free one."""

    target: int
    published: int
    host_ip: str
    place: str


@dataclass(frozen=True)
class Tmpfs:
    """A tmpfs of at most ``size`` bytes; ``None`` when the file gives no size."""

    target: str
    size: int | None


@dataclass(frozen=True, kw_only=True)
class ServiceDefinition:
    """One service as both backends need it. ``raw`` is the whole resolved block with its places."""

    name: str
    environment: Mapping[str, str]
    command: tuple[str, ...]
    ports: tuple[Port, ...]
    tmpfs: tuple[Tmpfs, ...]
    memory_limit: int | None
    raw: Located

    def port(self, target: int) -> Port:
        """The published port of ``target``: the last one that was written wins.

        Raises:
            SettingsError: the service publishes no such port.
        """
        found = [port for port in self.ports if port.target == target]
        if not found:
            raise SettingsError(
                f"{self.name} publishes no port for its port {target}",
                where=self.raw.place("ports"),
                fix=f'add "127.0.0.1:0:{target}" to its ports',
            )
        return found[-1]

    @property
    def tmpfs_bytes(self) -> int:
        """What all its tmpfs may hold together."""
        return sum(each.size or 0 for each in self.tmpfs)


@dataclass(frozen=True, kw_only=True)
class StackDefinition:
    """The whole stack. ``digest`` changes when anything that shapes it changes."""

    name: str
    files: tuple[Path, ...]
    services: Mapping[str, ServiceDefinition]
    digest: str

    @property
    def tmpfs_bytes(self) -> int:
        """What all tmpfs of all services may hold together."""
        return sum(service.tmpfs_bytes for service in self.services.values())

    @property
    def directory(self) -> Path:
        """Where the main compose file lies; ``images/`` is beside it."""
        return self.files[0].parent


def find_compose_files(project_dir: Path, variables: Mapping[str, str]) -> tuple[Path, ...]:
    """``TEST_COMPOSE_FILE``, the project's own compose file or the shipped one, and the override if there is one."""
    named = variables.get("TEST_COMPOSE_FILE")
    candidates = [project_dir / named] if named else [project_dir / COMPOSE_FILE, shipped_directory() / COMPOSE_FILE]
    main = next((file for file in candidates if file.exists()), candidates[-1])
    override_name = variables.get("TEST_COMPOSE_OVERRIDE")
    override = project_dir / (override_name or OVERRIDE_FILE)
    return (main, override) if override_name or override.exists() else (main,)


def load_definition(project_dir: Path, variables: Mapping[str, str]) -> StackDefinition:
    """Read the compose file and the override that hold for ``project_dir``.

    Raises:
        SettingsError: with file and line, for anything in them that cannot hold.
    """
    files = find_compose_files(project_dir, variables)
    document = load_compose(files, variables)
    blocks = _mapping(document, "services", str(files[0]))
    for name in blocks:
        if name not in SERVICES:
            raise SettingsError(
                f"the stack has no service {name!r}",
                where=blocks.place(name),
                cause=f"its services are {', '.join(SERVICES)}",
                fix="mend the name; services of your own belong in a compose file of their own",
            )
    services = {name: _service(name, _mapping(blocks, name, str(files[0]))) for name in blocks}
    missing = [name for name in SERVICES if name not in services]
    if missing:
        raise SettingsError(f"the compose file lacks {', '.join(missing)}", where=str(files[0]))
    name = str(document.get("name") or variables.get("TEST_STACK_NAME") or "netra-test")
    return StackDefinition(name=name, files=files, services=services, digest=_digest(document, files[0].parent))


def _digest(document: Located, directory: Path) -> str:
    """Covers the resolved files and the server configuration beside the images."""
    digest = hashlib.sha256(json.dumps(document, sort_keys=True, default=str).encode())
    for file in sorted((directory / "images").rglob("*")):
        if file.is_file():
            digest.update(str(file.relative_to(directory)).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:16]


def _service(name: str, raw: Located) -> ServiceDefinition:
    return ServiceDefinition(
        name=name,
        environment=_environment(raw),
        command=_command(raw),
        ports=tuple(_port(item, raw.place("ports")) for item in _sequence(raw, "ports")),
        tmpfs=(*_short_tmpfs(raw), *_long_tmpfs(raw)),
        memory_limit=_memory_limit(raw),
        raw=raw,
    )


def _mapping(parent: Located, key: str, where: str) -> Located:
    value = parent.get(key)
    if not isinstance(value, Located):
        raise SettingsError(f"'{key}' must be a mapping", where=parent.place(key) or where)
    return value


def _sequence(raw: Located, key: str) -> list[Any]:
    value = raw.get(key)
    if value is None:
        return []
    if isinstance(value, str) and key == "tmpfs":
        return [value]
    if not isinstance(value, list):
        raise SettingsError(f"'{key}' must be a list", where=raw.place(key), cause=f"found {value!r}")
    return value


def _environment(raw: Located) -> dict[str, str]:
    values = raw.get("environment")
    if values is None:
        return {}
    if not isinstance(values, Located):
        raise SettingsError("'environment' must be a mapping or a list", where=raw.place("environment"))
    for key, value in values.items():
        if isinstance(value, dict | list):
            raise SettingsError(
                f"{key} must be a text or a number", where=values.place(key), cause=f"found {json.dumps(value)}"
            )
    return {key: _scalar(value) for key, value in values.items() if value is not None}


def _scalar(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _command(raw: Located) -> tuple[str, ...]:
    value = raw.get("command")
    if value is None:
        return ()
    if isinstance(value, str):
        try:
            return tuple(shlex.split(value))
        except ValueError as error:
            raise SettingsError(
                "'command' cannot be split into words", where=raw.place("command"), cause=str(error)
            ) from None
    if isinstance(value, list) and not any(isinstance(each, dict | list) for each in value):
        return tuple(_scalar(each) for each in value)
    raise SettingsError("'command' must be a text or a list of texts", where=raw.place("command"))


def _port(item: Any, where: str) -> Port:
    if isinstance(item, Located):
        return Port(
            target=_port_number(item.get("target"), item, where),
            published=_port_number(item.get("published") or 0, item, where),
            host_ip=str(item.get("host_ip") or "0.0.0.0"),  # noqa: S104 - Compose's own default, for what it means
            place=where,
        )
    text = str(item).split("/")[0]
    host_ip, rest = _split_host(text)
    published, _, target = rest.rpartition(":")
    return Port(
        target=_port_number(target, item, where),
        published=_port_number(published or 0, item, where),
        host_ip=host_ip or "0.0.0.0",  # noqa: S104 - Compose's own default, for what it means
        place=where,
    )


def _split_host(text: str) -> tuple[str, str]:
    if text.startswith("["):
        host, _, rest = text[1:].partition("]:")
        return host, rest
    if text.count(":") == 2:
        host, _, rest = text.partition(":")
        return host, rest
    return "", text


def _port_number(value: Any, item: Any, where: str) -> int:
    try:
        number = int(value)
        if not 0 <= number <= 65535:
            raise ValueError(value)
    except (TypeError, ValueError):
        raise SettingsError(
            f"the port {item if isinstance(item, str) else dict(item) if isinstance(item, dict) else item!r} "
            "cannot be understood",
            where=where,
            cause=f"{value!r} is not a port number from 0 to 65535",
            fix='write it as "127.0.0.1:15432:5432", in quotes',
        ) from None
    return number


def parse_size(value: Any, where: str) -> int:
    """Bytes from ``512m``, ``1g``, ``1.5gb`` or a plain number.

    Raises:
        SettingsError: it is none of these.
    """
    match = _SIZE.fullmatch(str(value).strip())
    if not match:
        raise SettingsError(f"{value!r} is not a size", where=where, fix="write it like 512m or 1g")
    return int(float(match.group(1)) * _UNITS[match.group(2).lower()])


def _short_tmpfs(raw: Located) -> list[Tmpfs]:
    found = []
    for item in _sequence(raw, "tmpfs"):
        target, _, options = str(item).partition(":")
        sizes = [option.removeprefix("size=") for option in options.split(",") if option.startswith("size=")]
        found.append(Tmpfs(target, parse_size(sizes[-1], raw.place("tmpfs")) if sizes else None))
    return found


def _long_tmpfs(raw: Located) -> list[Tmpfs]:
    found = []
    for mount in _sequence(raw, "volumes"):
        if isinstance(mount, Located) and mount.get("type") == "tmpfs":
            size = _optional(mount, "tmpfs", raw.place("volumes")).get("size")
            place = mount.place("tmpfs") or raw.place("volumes")
            found.append(Tmpfs(str(mount.get("target")), None if size is None else parse_size(size, place)))
    return found


def _optional(parent: Located, key: str, where: str) -> Located:
    """The mapping under ``key``, an empty one when there is none."""
    return Located({}, {}) if parent.get(key) is None else _mapping(parent, key, where)


def _memory_limit(raw: Located) -> int | None:
    place = raw.place("deploy")
    limits = _optional(_optional(_optional(raw, "deploy", place), "resources", place), "limits", place)
    if "memory" in limits:
        return parse_size(limits["memory"], limits.place("memory") or place)
    return parse_size(raw["mem_limit"], raw.place("mem_limit")) if raw.get("mem_limit") is not None else None
