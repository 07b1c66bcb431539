"""What is to be seeded: an ordered list of steps per service, with a checksum for each file, each service and all."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from test_framework import fixtures
from test_framework.errors import SeedError
from test_framework.seeding.reading import read_folder
from test_framework.seeding.steps import callable_step, migration_step
from test_framework.services.base import BuildStep, FixtureFile, Service
from test_framework.services.registry import SERVICES

__all__ = ["Plan", "SeedSettings", "build_plan"]

# Part of every checksum: raised when the same files would come to something else, as by another search path.
_VERSION = "1"
_SHIPPED = Path(fixtures.__file__).parent

Step = FixtureFile | BuildStep


class SeedSettings(Protocol):
    """What a plan is made from; :class:`~test_framework.settings.Settings` has it all."""

    @property
    def project_dir(self) -> Path: ...
    @property
    def fixtures_dirs(self) -> tuple[Path, ...]: ...
    @property
    def fixtures_mode(self) -> str: ...
    @property
    def migrate_command(self) -> str | None: ...
    @property
    def migrate_paths(self) -> tuple[Path, ...]: ...
    @property
    def seed_callable(self) -> str | None: ...


@dataclass(frozen=True)
class Plan:
    """What every service is to hold.

    Args:
        steps: by service name, in loading order.
        checksums: by service name.
        checksum: of all of it.
    """

    steps: Mapping[str, Sequence[Step]]
    checksums: Mapping[str, str]
    checksum: str

    @property
    def services(self) -> tuple[Service, ...]:
        """The services it speaks of."""
        return tuple(service for service in SERVICES if service.name in self.steps)

    @property
    def needs_project(self) -> bool:
        """Whether something of the user's project runs: fixture files alone can be loaded from anywhere."""
        return any(isinstance(step, BuildStep) for steps in self.steps.values() for step in steps)

    def checksum_of(self, service: str) -> str:
        """The checksum of what the service called ``service`` is to hold."""
        return self.checksums[service]

    def only(self, *services: str) -> Plan:
        """The part of it for some services."""
        return _plan({name: self.steps[name] for name in services})

    def check(self) -> None:
        """Parse everything that can be parsed without a server.

        Raises:
            SeedError: names every bad file, not the first alone.
        """
        errors = []
        for service in self.services:
            errors += service.check([step for step in self.steps[service.name] if isinstance(step, FixtureFile)])
        raise_together(errors)


def build_plan(settings: SeedSettings) -> Plan:
    """Read all sources and put them in order: shipped files, the migration command, the user's files, the function.

    Raises:
        SeedError: something is missing or cannot be read; names everything that is wrong.
    """
    errors = [_no_folder(folder) for folder in settings.fixtures_dirs if not _has_fixtures(folder)]
    steps: dict[str, list[Step]] = {}
    for service in SERVICES:
        shipped = _read([_SHIPPED], ["shipped"], service, errors) if _wants_shipped(settings, service) else []
        own = _read(settings.fixtures_dirs, _labels(settings.fixtures_dirs), service, errors)
        before, after = _build_steps(settings, errors) if service.name == "postgres" else ([], [])
        steps[service.name] = [*shipped, *before, *own, *after]
    raise_together(errors)
    return _plan(steps)


def _plan(steps: Mapping[str, Sequence[Step]]) -> Plan:
    checksums = {name: _checksum(each) for name, each in steps.items()}
    whole = hashlib.sha256("".join(f"{name}={checksums[name]}\n" for name in sorted(checksums)).encode())
    return Plan(steps, checksums, whole.hexdigest())


def _wants_shipped(settings: SeedSettings, service: Service) -> bool:
    """In the mode ``replace``, a folder for a service takes the place of what is shipped for it, even an empty one."""
    if settings.fixtures_mode == "extend":
        return True
    if service.name == "postgres" and (settings.migrate_command or settings.seed_callable):
        return False
    return not any((folder / service.name).is_dir() for folder in settings.fixtures_dirs)


def _has_fixtures(folder: Path) -> bool:
    return any((folder / service.name).is_dir() for service in SERVICES)


def _no_folder(folder: Path) -> SeedError:
    wanted = ", ".join(f"{service.name}/" for service in SERVICES)
    if not folder.is_dir():
        return SeedError("the fixtures folder does not exist", file=folder, fix="mend TEST_FIXTURES_DIR")
    return SeedError("the fixtures folder holds nothing to load", file=folder, fix=f"put files into {wanted} inside it")


def _labels(folders: Sequence[Path]) -> list[str]:
    """Short names for folders in records, made different where they are the same."""
    return [
        folder.name if [each.name for each in folders].count(folder.name) == 1 else f"{folder.name}#{number}"
        for number, folder in enumerate(folders, 1)
    ]


def _read(
    folders: Sequence[Path], labels: Sequence[str], service: Service, errors: list[SeedError]
) -> list[FixtureFile]:
    files = []
    for folder, label in zip(folders, labels, strict=True):
        found, wrong = read_folder(folder, service, label)
        files += found
        errors += wrong
    return files


def _build_steps(settings: SeedSettings, errors: list[SeedError]) -> tuple[list[BuildStep], list[BuildStep]]:
    before, after = [], []
    try:
        if settings.migrate_command:
            before.append(migration_step(settings.migrate_command, settings.migrate_paths, settings.project_dir))
        if settings.seed_callable:
            after.append(callable_step(settings.seed_callable, settings.project_dir))
    except SeedError as error:
        errors.append(error)
    return before, after


def _checksum(steps: Sequence[Step]) -> str:
    """Of names and contents in order; where the files lie does not matter."""
    digest = hashlib.sha256(_VERSION.encode())
    for step in steps:
        name = step.path.name if isinstance(step, FixtureFile) else step.name
        digest.update(f"\0{name}\0{step.checksum}".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def raise_together(errors: Sequence[SeedError]) -> None:
    """Raise one error that names all of ``errors``; nothing when there are none."""
    if not errors:
        return
    if len(errors) == 1:
        raise errors[0]
    raise SeedError(
        f"{len(errors)} fixture files cannot be loaded",
        file=errors[0].file,
        line=errors[0].line,
        cause="all of them:\n" + "\n".join(_indented(error) for error in errors),
    )


def _indented(error: SeedError) -> str:
    place = f"{error.where}: " if error.where else ""
    cause = f" ({error.cause})" if error.cause else ""
    return f"    {place}{error.what}{cause}"
