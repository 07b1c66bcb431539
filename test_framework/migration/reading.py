"""Read many files into facts: from the cache where they are known, else in several processes."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from pathlib import Path

from test_framework.migration.analysis import analyse
from test_framework.migration.cache import Cache, key_of
from test_framework.migration.discovery import is_test_path
from test_framework.migration.facts import FileFacts, empty, from_json, to_json
from test_framework.migration.processes import KILLED, worked

__all__ = ["Reader"]

ALONE = 48
"""Up to this many files are read sooner than another process is started."""
PART = 24
"""Files handed to a process at a time."""
Progress = Callable[[int, int], None]


class Reader:
    """Reads files, once each.

    Args:
        cache: what is known already.
        version: of the rules that facts are made by.
        jobs: processes; None is one for each processor.
    """

    def __init__(self, cache: Cache, version: str, jobs: int | None) -> None:
        self.cache = cache
        self.version = version
        self.jobs = max(1, jobs or _processors())
        self.from_cache = 0
        self.kept: dict[str, FileFacts] = {}

    def read(self, paths: Sequence[str], progress: Progress | None = None) -> dict[str, FileFacts]:
        """The facts of every path, in the given order."""
        facts: dict[str, FileFacts] = {}
        keys: dict[str, str] = {}
        for path in paths:
            source = _bytes(path)
            if isinstance(source, bytes):
                keys[path] = key_of(source, is_test=is_test_path(path), version=self.version)
            else:
                facts[path] = source
        known = self.cache.find(keys.values())
        for path, key in keys.items():
            if key in known:
                facts[path] = known[key]
        self.from_cache = len(facts)
        missing = [path for path in paths if path not in facts]
        if progress is not None:
            progress(len(facts), len(paths))
        with closing(self._analysed(missing)) as parts:  # an interruption in here ends the processes now
            for done in parts:
                facts.update(done)
                if progress is not None:
                    progress(len(facts), len(paths))
        self.cache.keep({keys[path]: facts[path] for path in missing if path in keys and facts[path].error is None})
        return {path: facts[path] for path in paths}

    def _analysed(self, paths: Sequence[str]) -> Generator[dict[str, FileFacts], None, None]:
        parts = [paths[start : start + PART] for start in range(0, len(paths), PART)]
        if self.jobs == 1 or len(paths) <= ALONE:
            for part in parts:
                yield dict(_facts_of(part))
            return
        # Garbage is collected after each part.
        with closing(worked(_work, parts, self.jobs, initializer=gc.disable)) as answers:
            for part, answer in answers:
                if answer is None:
                    yield dict.fromkeys(part, empty(error=KILLED))
                else:
                    yield {path: from_json(text) for path, text in answer}

    def outside(self, path: str) -> FileFacts | None:
        """A file outside of the scanned paths that a name leads to."""
        source = _bytes(path)
        return analyse(source, is_test=False) if isinstance(source, bytes) else None

    def again(self, files: dict[str, FileFacts], replaced: dict[str, dict[str, str]]) -> bool:
        """Read those files again whose names mean more than they say by themselves; False when nothing is new."""
        keys: dict[str, str] = {}
        for path, names in replaced.items():
            source = _bytes(path)
            if isinstance(source, bytes):
                extra = repr(sorted(names.items()))
                keys[path] = key_of(source, is_test=is_test_path(path), version=self.version, extra=extra)
        known = self.cache.find(keys.values())
        fresh: dict[str, FileFacts] = {}
        for path, key in keys.items():
            if key not in known:
                source = _bytes(path)
                fresh[key] = _analysed_or_not(path, source, replaced[path])
        self.cache.keep(fresh)
        known.update(fresh)
        changed = any(known[key] != files[path] for path, key in keys.items())
        files.update({path: known[key] for path, key in keys.items()})
        return changed


def _analysed_or_not(path: str, source: bytes | FileFacts, replaced: dict[str, str] | None = None) -> FileFacts:
    if not isinstance(source, bytes):
        return source
    return analyse(source, is_test=is_test_path(path), replaced=replaced)


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _bytes(path: str) -> bytes | FileFacts:
    """A file's content, or the facts of a file that cannot be read."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        return empty(error=f"cannot be read: {error.strerror or error}")


def _facts_of(paths: Sequence[str]) -> Iterator[tuple[str, FileFacts]]:
    for path in paths:
        yield path, _analysed_or_not(path, _bytes(path))


def _work(paths: Sequence[str]) -> list[tuple[str, str]]:
    """In another process: text is smaller to hand back than objects."""
    answers = [(path, to_json(facts)) for path, facts in _facts_of(paths)]
    gc.collect()
    return answers
