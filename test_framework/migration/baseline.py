"""The ratchet: a file that records the mocks a tree has, so that new ones fail and removed ones stay removed.

A mock is known by its file, scope, kind and target, never by its line, so code may move within a scope. Equal ones are
counted. Paths are relative to the folder of the baseline file: it holds wherever the command is run.
"""

from __future__ import annotations

import json
import os
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from test_framework.errors import SettingsError
from test_framework.migration.model import Category, FileReport, MockUse, TreeReport
from test_framework.migration.writing import replace_file

__all__ = ["FORMAT", "VERSION", "Comparison", "Key", "Recorded", "compare", "load", "record", "save"]

FORMAT = "test-framework mock baseline"
VERSION = 1


class Key(NamedTuple):
    """What a mock is recognised by."""

    path: str
    scope: str
    kind: str
    target: str


Recorded = Counter[Key]


@dataclass(frozen=True, slots=True)
class Comparison:
    """A scan held against a baseline.

    Args:
        new: mocks that are not recorded; of equal ones the last in the file.
        gone: recorded mocks that are no longer there, with their number.
        moved: number of mocks that came with a file's new name or place.
        tightened: what the baseline becomes when the gone ones leave it and no new one enters.
        accepted: what it becomes when the new ones enter as well.
    """

    new: tuple[MockUse, ...]
    gone: Recorded
    moved: int
    tightened: Recorded
    accepted: Recorded


def load(path: Path) -> Recorded:
    """The recorded mocks. Raises SettingsError when there is no such file, or it is not one of ours."""
    try:
        return _parsed(json.loads(path.read_text("utf-8")))
    except FileNotFoundError:
        problem, fix = "there is no such file", "create it by adding --update-baseline"
    except OSError as error:
        problem, fix = error.strerror or str(error), "make it readable"
    except (ValueError, TypeError, KeyError) as error:
        problem = f"{type(error).__name__}: {error}" if isinstance(error, (TypeError, KeyError)) else str(error)
        fix = "restore it from version control, or delete it and record anew with --update-baseline"
    raise SettingsError("the baseline cannot be read", where=str(path), cause=problem, fix=fix)


def _parsed(document: Any) -> Recorded:
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise ValueError(f'not a baseline: "format" is not "{FORMAT}"')
    if document.get("version") != VERSION:
        raise ValueError(f"written in version {document.get('version')!r} of the format; this program knows {VERSION}")
    recorded: Recorded = Counter()
    for number, entry in enumerate(document["mocks"], 1):
        key = Key(*(entry[name] for name in Key._fields))
        count = entry["count"]
        if not all(isinstance(part, str) for part in key) or type(count) is not int or count < 1:
            raise ValueError(f"entry {number} has a value of the wrong type")
        if key in recorded:
            raise ValueError(f"entry {number} records {key.path} {key.scope} {key.kind} {key.target} a second time")
        recorded[key] = count
    return recorded


def save(path: Path, recorded: Recorded) -> bool:
    """Write the baseline, one line per entry, and say whether that changed the file. Raises SettingsError."""
    entries = [json.dumps({**key._asdict(), "count": count}) for key, count in sorted(recorded.items()) if count > 0]
    listed = "".join(f"\n  {entry}," for entry in entries).removesuffix(",")
    data = (f'{{\n "format": {json.dumps(FORMAT)},\n "version": {VERSION},\n "mocks": [{listed}\n ]\n}}\n').encode(
        "ascii"
    )
    try:
        if path.is_file() and path.read_bytes() == data:
            return False
    except OSError:
        pass  # what cannot be read may still be replaced
    replace_file(path, data)
    return True


def record(report: TreeReport, *, folder: Path) -> Recorded:
    """Everything the scan found, with paths relative to ``folder``."""
    return Counter(key for file in report.files for key, _ in _keys(report, file, folder))


def compare(
    report: TreeReport, recorded: Recorded, *, folder: Path, categories: Collection[Category] = tuple(Category)
) -> Comparison:
    """Hold a scan against what was recorded.

    Files that the scan did not cover, and those it could not parse, keep their entries as long as they exist.

    Args:
        report: all that was found, of every category: what is recorded and still there is not gone.
        folder: of the baseline file.
        categories: mocks of others are never new.
    """
    scanned = {_relative(report, file, folder): file.error is None for file in report.files}
    known_files = {key.path for key in recorded}
    missing = {path for path in known_files if path not in scanned and not (folder / path).exists()}
    judged, kept = _split(recorded, missing | {path for path, parsed in scanned.items() if parsed})
    present: defaultdict[Key, list[MockUse]] = defaultdict(list)
    for file in report.files:
        for key, use in _keys(report, file, folder):
            present[key].append(use)
    counts: Recorded = Counter({key: len(uses) for key, uses in present.items()})
    gone = judged - counts
    # What a file lost that is no longer there may have come back under another name.
    lost = Counter[tuple[str, str, str]]()
    for key, count in gone.items():
        if key.path in missing:
            lost[key[1:]] += count
    new: list[MockUse] = []
    moved: Recorded = Counter()
    for key, surplus in (counts - judged).items():
        found_again = min(surplus, lost[key[1:]]) if key.path not in known_files else 0
        lost[key[1:]] -= found_again
        moved[key] += found_again
        new += present[key][len(present[key]) - surplus + found_again :]
    new.sort(key=lambda use: (use.path, use.line, use.column))
    new = [use for use in new if use.category in categories]
    tightened = kept + (judged & counts) + moved
    keys = {use: key for key, uses in present.items() for use in uses}
    return Comparison(tuple(new), gone, moved.total(), tightened, tightened + Counter(keys[use] for use in new))


def _split(recorded: Recorded, known: set[str]) -> tuple[Recorded, Recorded]:
    """The entries that this scan can judge, and those it must leave alone."""
    judged = Counter({key: count for key, count in recorded.items() if key.path in known})
    return judged, recorded - judged


def _keys(report: TreeReport, file: FileReport, folder: Path) -> Iterable[tuple[Key, MockUse]]:
    path = _relative(report, file, folder)
    return [(Key(path, use.scope, use.kind, use.target), use) for use in file.uses]


def _relative(report: TreeReport, file: FileReport, folder: Path) -> str:
    absolute = Path(os.path.realpath(report.root)) / file.path  # links inside the tree stay
    return Path(os.path.relpath(absolute, os.path.realpath(folder))).as_posix()
