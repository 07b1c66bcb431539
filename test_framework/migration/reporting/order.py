"""The suggested order of work: which file gives the most for the least.

For each file with mocks that a real service can replace::

    gain = mocks that go away: those of the file, and the uses in other files of the mock fixtures it defines
    cost = 2 to open, run and commit the file
         + 0.5 for each mock that "migrate" rewrites and a person only reads
         + 3, 4 or 6 for each that a person rewrites, in a simple, moderate or complex file

Files are ordered by gain / cost, then by gain, then by path. The figures weigh work against work; they are no minutes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePosixPath

from test_framework.migration.model import Complexity, FileReport, Form, MockUse, TreeReport
from test_framework.migration.reporting.summary import replaceable

__all__ = ["FORMULA", "Step", "Task", "order_of_work"]

PER_FILE = 2.0
PER_REWRITTEN = 0.5
BY_HAND = {Complexity.SIMPLE: 3.0, Complexity.MODERATE: 4.0, Complexity.COMPLEX: 6.0}
FORMULA = (
    "gain / cost: the mocks that go away, those in other files that use a mock fixture of this one included, "
    f'over {PER_FILE:g} for the file, {PER_REWRITTEN:g} for each mock rewritten by "migrate" and '
    f"{'/'.join(f'{cost:g}' for cost in BY_HAND.values())} for each rewritten by hand (simple/moderate/complex file)"
)


class Step(StrEnum):
    """What to do with a file."""

    MECHANICAL = "mechanical"
    """``migrate`` rewrites every mock that can go."""
    MIXED = "mixed"
    """``migrate`` rewrites some, a person the others."""
    MANUAL = "manual"
    """All by hand."""


@dataclass(frozen=True, slots=True)
class Task:
    """One file of the order of work.

    Args:
        path: of the file, as in its report.
        step: what to do with it.
        gain: number of mocks that go away, ``elsewhere`` included.
        elsewhere: uses in other files of the mock fixtures that this file defines.
        rewritable: mocks of this file that ``migrate`` has a rule for.
        by_hand: mocks of this file that a person must replace.
        cost: in the units of the formula.
    """

    path: str
    step: Step
    gain: int
    elsewhere: int
    rewritable: int
    by_hand: int
    cost: float

    @property
    def score(self) -> float:
        """Gain for each unit of cost."""
        return self.gain / self.cost


def order_of_work(report: TreeReport) -> tuple[Task, ...]:
    """The files worth changing, the cheapest gain first. Files without a replaceable mock are left out."""
    elsewhere = _fixtures_used_elsewhere(report.files)
    tasks = [task for file in report.files if (task := _task(file, elsewhere[file.path]))]
    return tuple(sorted(tasks, key=lambda task: (-task.score, -task.gain, task.path)))


def _task(file: FileReport, elsewhere: int) -> Task | None:
    own = sum(map(replaceable, file.uses))
    if not own:
        return None
    by_hand = own - file.rewritable
    step = Step.MECHANICAL if not by_hand else Step.MIXED if file.rewritable else Step.MANUAL
    cost = PER_FILE + PER_REWRITTEN * file.rewritable + BY_HAND[file.complexity] * by_hand
    return Task(file.path, step, own + elsewhere, elsewhere, file.rewritable, by_hand, cost)


def _fixtures_used_elsewhere(files: Iterable[FileReport]) -> Counter[str]:
    """For each file, how often other files ask for a replaceable mock fixture that it defines, or get it unasked.

    As pytest looks it up: a file's own fixture first, then the nearest ``conftest.py`` above.
    """
    files = tuple(files)
    defined = {
        file.path: {_fixture_name(use) for use in file.uses if use.form is Form.FIXTURE and replaceable(use)}
        for file in files
    }
    used: Counter[str] = Counter()
    for file in files:
        asked = [use.target for use in file.uses if use.form is Form.PARAMETER]
        for name in (*asked, *file.autouse):
            if name in defined[file.path]:
                continue
            for folder in PurePosixPath(file.path).parents:
                conftest = (folder / "conftest.py").as_posix()
                if conftest != file.path and name in defined.get(conftest, ()):
                    used[conftest] += 1
                    break
    return used


def _fixture_name(use: MockUse) -> str:
    return use.target or use.scope.rpartition(".")[2]
