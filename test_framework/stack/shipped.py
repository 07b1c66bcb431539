"""The stack's own files: where they are in a checkout and in an installed package, and what its images are made of."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

import platformdirs

__all__ = ["image_tag", "shipped_directory"]

# What the Dockerfiles copy: a change in any of these must give new images.
_SOURCES = ("images", "seeder", "monitor", "test_framework", ".dockerignore")


def shipped_directory() -> Path:
    """The directory of the shipped compose file, with everything beside it that the images are built from.

    An installed package carries the files, but not beside itself as the Dockerfiles want them: they are laid out once,
    in the user's cache.
    """
    package = Path(__file__).resolve().parent.parent
    carried = package / "_shipped"
    return _laid_out(carried, package) if carried.is_dir() else package.parent


def _laid_out(carried: Path, package: Path) -> Path:
    key = hashlib.sha256(f"{package}\0{(package / '__init__.py').stat().st_mtime_ns}".encode()).hexdigest()[:16]
    target = platformdirs.user_cache_path("test-framework") / "shipped" / key
    if not target.is_dir():
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(dir=target.parent, prefix=".laying-out-"))
        shutil.copytree(carried, draft, dirs_exist_ok=True)
        shutil.copytree(package, draft / "test_framework", ignore=shutil.ignore_patterns("_shipped", "__pycache__"))
        try:
            draft.rename(target)
        except OSError:  # somebody else was faster
            shutil.rmtree(draft)
    return target


def image_tag(directory: Path) -> str:
    """A tag for images built in ``directory``: it changes with their sources, so none is ever stale."""
    digest = hashlib.sha256()
    for source in _SOURCES:
        for file in _files(directory / source):
            digest.update(f"{file.relative_to(directory)}\0".encode() + file.read_bytes())
    return digest.hexdigest()[:12]


def _files(source: Path) -> list[Path]:
    if source.is_file():
        return [source]
    found = []
    for folder, folders, names in os.walk(source):
        folders[:] = sorted(name for name in folders if name != "__pycache__")
        found += [Path(folder, name) for name in sorted(names)]
    return found
