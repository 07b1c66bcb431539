"""Read fixture folders: which files there are, that they lie where they seem to lie, and what is in them."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from test_framework.errors import SeedError
from test_framework.services.base import FixtureFile, Service

__all__ = ["MAX_BYTES", "digest_of", "read_folder", "tree_digest"]

MAX_BYTES = 256 * 1024 * 1024
_IGNORED_SUFFIXES = {".md", ".rst", ".txt"}  # people explain their fixtures beside them


def digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def read_folder(folder: Path, service: Service, label: str) -> tuple[list[FixtureFile], list[SeedError]]:
    """The files of ``folder/<service>`` in the order of their names, and everything that is wrong with them."""
    files, errors = [], []
    for path in _entries(folder / service.name):
        try:
            content = _read(path, folder.resolve(), service)
        except SeedError as error:
            errors.append(error)
        else:
            files.append(FixtureFile(path, content, digest_of(content), f"{label}/{service.name}/{path.name}"))
    return files, errors


def _entries(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(
        path
        for path in folder.iterdir()
        if not path.name.startswith((".", "__")) and path.suffix.lower() not in _IGNORED_SUFFIXES
    )


def _read(path: Path, root: Path, service: Service) -> bytes:
    """The content of a regular file below ``root``.

    Raises:
        SeedError: it is something else, leads somewhere else, or cannot be read.
    """
    try:
        target = path.resolve(strict=True)
    except (OSError, RuntimeError) as error:  # the latter: links that lead to each other, before 3.13
        nowhere = not isinstance(error, OSError) or error.errno in (errno.ENOENT, errno.ELOOP)
        what = "the link leads nowhere" if nowhere else "the file cannot be reached"
        raise SeedError(what, file=path, cause=str(error)) from error
    if not target.is_relative_to(root):
        raise SeedError(
            "the link leads out of the fixtures folder", file=path, cause=f"to {target}", fix="copy the file instead"
        )
    if target.is_dir():
        raise SeedError("folders inside are not read", file=path, fix="move its files up; they load in name order")
    if path.suffix.lower() not in service.suffixes:
        raise SeedError(
            f"{service.name} fixtures cannot end in {path.suffix!r}",
            file=path,
            fix=f"use one of {', '.join(sorted(service.suffixes))}, or hide it by a leading dot",
        )
    return _content(target, path)


def _content(target: Path, path: Path) -> bytes:
    try:
        # Without O_NONBLOCK, opening a pipe would wait for a writer.
        descriptor = os.open(target, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as stream:
            info = os.fstat(descriptor)
            if not stat.S_ISREG(info.st_mode):
                raise SeedError("this is not a regular file", file=path)
            if info.st_size > MAX_BYTES:
                raise SeedError(
                    f"the file is larger than {MAX_BYTES // 1024**2} MiB",
                    file=path,
                    cause=f"it has {info.st_size} bytes",
                    fix="split it, or load it by a migration command",
                )
            return stream.read()
    except OSError as error:
        raise SeedError("the file cannot be read", file=path, cause=error.strerror) from error


def tree_digest(paths: Sequence[Path], base: Path) -> str:
    """One checksum of everything below ``paths``, by names relative to ``base`` and content.

    Raises:
        SeedError: one of them does not exist or cannot be read.
    """
    digest = hashlib.sha256()
    for path in paths:
        if not path.exists():
            raise SeedError("a path that shapes the migration does not exist", file=path, fix="mend TEST_MIGRATE_PATHS")
        for file in _files_below(path):
            digest.update(os.path.relpath(file, base).encode("utf-8", "surrogateescape") + b"\0")
            digest.update(hashlib.sha256(_content(file, file)).digest())
    return digest.hexdigest()


def _files_below(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
        return
    for folder, folders, files in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__pycache__")))
        yield from (Path(folder, name) for name in sorted(files) if not name.endswith(".pyc"))
