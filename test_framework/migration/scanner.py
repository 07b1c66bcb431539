"""Find every use of a mock in a tree of Python files.

Reading is done with the parser of the interpreter (``ast``): a scan only needs to know, the rewriter that must keep
every byte works with LibCST. Measured on one core, LibCST's qualified names come to about a thousand lines a second,
``ast`` with the resolution here to some forty thousand; both are exact. A file's own facts are found in parallel and
kept in a cache by the hash of its content; what depends on other files is worked out anew each time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from test_framework.errors import SettingsError
from test_framework.migration.analysis import analyse, without_collector
from test_framework.migration.cache import Cache, default_folder
from test_framework.migration.discovery import common_root, discover, is_test_path, repository_of
from test_framework.migration.facts import FileFacts
from test_framework.migration.fixture_graph import FixtureGraph
from test_framework.migration.linking import Linker, renamed
from test_framework.migration.model import FileReport, TreeReport
from test_framework.migration.modules import Modules
from test_framework.migration.reading import Reader

__all__ = ["VERSION", "default_cache", "scan", "scan_source"]

VERSION = "2"
"""Of the rules. A change of what is found, or how it is told, needs another number: the cache goes by it."""
Progress = Callable[[int, int], None]


def default_cache() -> Path:
    """The folder that the command line keeps its cache in."""
    return default_folder()


def scan(
    paths: Sequence[Path],
    *,
    cache: Path | None = None,
    jobs: int | None = None,
    progress: Progress | None = None,
    exclude: Sequence[str] = (),
    root: Path | None = None,
) -> TreeReport:
    """Everything below ``paths``.

    Args:
        paths: files and folders. A folder is walked without what ``.gitignore`` names, hidden folders and environments.
        cache: folder for what is known of files that do not change; None keeps nothing.
        jobs: processes to read with; None is one for each processor, 1 is this process alone.
        progress: called with the number of files done and their total, often.
        exclude: patterns as in ``.gitignore``.
        root: folder that the paths in the report are relative to; None is the folder that all paths lie in.

    Raises:
        SettingsError: a path does not exist.
    """
    for path in paths:
        if not path.exists():
            raise SettingsError(
                f"there is no {path}", where=str(path.absolute()), fix="name files or folders that exist"
            )
    if not paths:
        raise SettingsError("nothing to scan", fix="name at least one file or folder")
    base = (root or common_root(paths)).absolute()
    found = discover([path.absolute() for path in paths], exclude=exclude)
    store = Cache(cache)
    reader = Reader(store, VERSION, jobs)
    with without_collector():
        reports = _link(reader.read([file.as_posix() for file in found.files], progress), base, reader)
    reports += [FileReport(_shown(path.as_posix(), base), (), error=error) for path, error in found.failed]
    return TreeReport(str(base), tuple(sorted(reports, key=lambda one: one.path)), VERSION, reader.from_cache)


def _link(files: dict[str, FileFacts], base: Path, reader: Reader) -> list[FileReport]:
    """Reports on the files that were read, in the light of each other."""
    scanned = list(files)
    repository = repository_of(base)
    top = (repository or base).as_posix()
    modules = Modules(files, top, reader.outside)
    for _ in range(2):  # what a renamed mock is called once more is known after the first round
        again = renamed(modules, scanned)
        if not reader.again(files, again):
            break
    graph = FixtureGraph(modules, top)
    linker = Linker(modules, graph)
    return [linker.report(path, _shown(path, base), files[path]) for path in scanned]


def _shown(path: str, base: Path) -> str:
    text = base.as_posix().rstrip("/") + "/"
    return path.removeprefix(text)


def scan_source(source: str | bytes, path: str = "test_module.py", *, neighbours: Path | None = None) -> FileReport:
    """One file's text, by itself: fixtures and names of other files are unknown, unless ``neighbours`` is given.

    Args:
        source: the text, or its bytes as they lie on the disk.
        path: what it is called in the report; a name like ``test_x.py`` says that it holds tests.
        neighbours: the folder that it lies in; its conftest files and modules are looked up from there.
    """
    data = source.encode("utf-8", "surrogateescape") if isinstance(source, str) else source
    facts = analyse(data, is_test=is_test_path(path))
    folder = neighbours.absolute() if neighbours is not None else Path("/nowhere")
    absolute = (folder / Path(path).name).as_posix()
    reader = Reader(Cache(None), VERSION, 1)
    files = {absolute: facts}
    top = (repository_of(folder) or folder).as_posix() if neighbours is not None else folder.as_posix()
    modules = Modules(files, top, reader.outside if neighbours is not None else _nothing)
    again = renamed(modules, [absolute]).get(absolute)
    if again:
        files[absolute] = facts = analyse(data, is_test=is_test_path(path), replaced=again)
    return Linker(modules, FixtureGraph(modules, top)).report(absolute, path, facts)


def _nothing(_path: str) -> FileFacts | None:
    return None
