"""The before-files: they pass with their mocks, are rewritten, and pass against real servers."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from test_framework.migration.model import Complexity
from test_framework.migration.rewriter import MARK, Context, Rewrite, rewrite_file
from test_framework.migration.rewriter.safety import trouble
from test_framework.migration.scanner import scan_source
from tests.native_stack import NativeStack, new_stack
from tests.plugin.harness import Project, Result, without_services

BEFORE = Path(__file__).resolve().parents[2] / "data" / "migration" / "before"
FILES = sorted(path.name for path in BEFORE.glob("test_*.py"))


def copy(directory: Path) -> Path:
    shutil.copytree(BEFORE, directory, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    return directory


def rewritten(directory: Path, name: str) -> Rewrite:
    path = directory / name
    return rewrite_file(path.read_text("utf-8"), None, Context.of(path, root=directory))


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NativeStack]:
    """A healthy stack with the shipped seed."""
    with new_stack(tmp_path_factory.mktemp("cache"), seed=None) as stack:
        stack.up()
        yield stack


@pytest.fixture(scope="module")
def rewrites(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Rewrite]:
    """What becomes of each file."""
    directory = copy(tmp_path_factory.mktemp("rewrites"))
    return {name: rewritten(directory, name) for name in FILES}


def run(project: Project, **variables: str) -> Result:
    # What the code under test asks of redis-py is its own affair.
    return project.run(
        "-q", "--import-mode=importlib", "-W", "ignore:Call to deprecated:DeprecationWarning", **variables
    )


def failed_files(result: Result, directory: Path) -> set[str]:
    """Files with a test that did not pass."""
    broken = set()
    for line in result.text.splitlines():
        if line.startswith(("FAILED ", "ERROR ")):
            broken.add(Path(line.split(" ")[1].split("::")[0]).name)
    return broken


def test_every_file_passes_with_its_mocks(tmp_path: Path, stack: NativeStack) -> None:
    """What the rewriter is given are tests that pass."""
    copy(tmp_path)
    project = Project(tmp_path, without_services(stack.environment))
    project.ini("pythonpath = .")
    result = run(project, TEST_STACK_NAME="nobody", USE_REAL_SERVICES="false")
    assert result.status == 0, result.text


@pytest.fixture(scope="module")
def real_run(
    tmp_path_factory: pytest.TempPathFactory, stack: NativeStack, rewrites: dict[str, Rewrite]
) -> tuple[Result, Path]:
    """All files after the rewrite in one process, against the stack."""
    directory = copy(tmp_path_factory.mktemp("after"))
    for name, rewrite in rewrites.items():
        (directory / name).write_text(rewrite.text, "utf-8")
    names = ("TEST_STACK_NAME", "TEST_STATE_DIR", "HOME", "XDG_CACHE_HOME")
    environment = {**without_services(stack.environment), **{name: stack.variables[name] for name in names}}
    project = Project(directory, environment)
    project.ini("pythonpath = .")
    return run(project, USE_REAL_SERVICES="true"), directory


def test_every_file_passes_after_the_rewrite(real_run: tuple[Result, Path]) -> None:
    """Rewritten tests pass against real servers, marked ones with the mocks that they kept; none is skipped."""
    result, _ = real_run
    assert result.status == 0, result.text
    assert "skipped" not in result.counts(), result.text


def test_enough_files_are_complete(real_run: tuple[Result, Path], rewrites: dict[str, Rewrite]) -> None:
    """At least 70 % of the simple files and 40 % of the moderate ones are claimed to be complete, and pass."""
    result, directory = real_run
    broken = failed_files(result, directory)
    for complexity, share in ((Complexity.SIMPLE, 0.7), (Complexity.MODERATE, 0.4)):
        names = [name for name in FILES if complexity_of_file(name) is complexity]
        good = [name for name in names if rewrites[name].complete and name not in broken]
        print(f"{complexity}: {len(good)} of {len(names)}")
        assert len(names) >= 8
        assert len(good) >= share * len(names), sorted(set(names) - set(good))


@pytest.mark.parametrize(("kind", "number"), [("_http_", 10), ("_ws_", 8)])
def test_enough_files_of_each_protocol_are_complete(
    kind: str, number: int, real_run: tuple[Result, Path], rewrites: dict[str, Rewrite]
) -> None:
    """The shares hold for HTTP and for WebSockets by themselves; files that are left alone are not counted."""
    broken = failed_files(*real_run)
    names = [name for name in FILES if kind in name and (rewrites[name].rewritten or rewrites[name].marked)]
    assert len(names) >= number
    for complexity, share in ((Complexity.SIMPLE, 0.7), (Complexity.MODERATE, 0.4)):
        alike = [name for name in names if complexity_of_file(name) is complexity]
        good = [name for name in alike if rewrites[name].complete and name not in broken]
        print(f"{kind} {complexity}: {len(good)} of {len(alike)}")
        assert len(good) >= share * len(alike), sorted(set(alike) - set(good))


def complexity_of_file(name: str) -> Complexity:
    return scan_source((BEFORE / name).read_text("utf-8"), name).complexity


def test_there_are_enough_files() -> None:
    """The set holds forty files or more."""
    assert len(FILES) >= 40


@pytest.mark.parametrize("name", FILES)
def test_nothing_is_lost(name: str, rewrites: dict[str, Rewrite]) -> None:
    """A rewritten file compiles, and no test of it is gone, empty or with fewer assertions."""
    assert trouble((BEFORE / name).read_text("utf-8"), rewrites[name].text) is None


@pytest.mark.parametrize("name", FILES)
def test_a_second_run_changes_nothing(name: str, rewrites: dict[str, Rewrite], tmp_path: Path) -> None:
    """Rewriting what was rewritten gives it back."""
    directory = copy(tmp_path)
    (directory / name).write_text(rewrites[name].text, "utf-8")
    again = rewritten(directory, name)
    assert again.text == rewrites[name].text
    assert not again.changed


@pytest.mark.parametrize("name", FILES)
def test_complete_means_no_mock_of_ours(name: str, rewrites: dict[str, Rewrite]) -> None:
    """A file that is claimed to be complete bears no mark and no mock of a service; any other one bears a mark."""
    rewrite = rewrites[name]
    assert rewrite.text.count(MARK) == rewrite.marked
    if rewrite.complete:
        assert rewrite.marked == 0
        left = [use for use in scan_source(rewrite.text, name).uses if not use.kind.startswith("monkeypatch")]
        assert not {use.category.value for use in left} & {"database", "redis", "clickhouse", "websocket", "http"}
