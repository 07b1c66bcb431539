"""Runs of pytest with trivial tests, and what each test of them takes."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.native_stack import NativeStack, new_stack
from tests.plugin.harness import without_services

__all__ = ["N", "Trivial", "pytest", "seeded", "steady"]

N = int(os.environ.get("BENCH_TESTS", "200"))

# Of the process that reports: workers finish their tests in any order.
_CLOCK = """
import os
import time

def pytest_runtest_logfinish():
    if "PYTEST_XDIST_WORKER" not in os.environ:
        print(time.perf_counter(), file=open("times", "a"))
"""


@dataclass(frozen=True)
class Trivial:
    """A file of N equal tests.

    Args:
        fixtures: what each test takes.
        body: what each test does.
        head: imports, and fixtures of the file's own.
        loop: how long an event loop lives; ``None``: plain functions.
        ini: lines for pytest.ini.
    """

    fixtures: str = ""
    body: str = "pass"
    head: str = ""
    loop: str | None = "session"
    ini: tuple[str, ...] = ()

    def per_test(
        self, directory: Path, environment: Mapping[str, str], *arguments: str, python: str = sys.executable
    ) -> float:
        """Milliseconds of wall per test in the steady state."""
        ini = [
            "[pytest]",
            *(("asyncio_mode = auto", f"asyncio_default_fixture_loop_scope = {self.loop}") if self.loop else ()),
            *((f"asyncio_default_test_loop_scope = {self.loop}",) if self.loop else ()),
            *self.ini,
        ]
        directory.mkdir(exist_ok=True)
        directory.joinpath("pytest.ini").write_text("\n".join(ini) + "\n")
        directory.joinpath("conftest.py").write_text(_CLOCK)
        parameters = ", ".join(name for name in (self.fixtures, "n") if name)
        body = textwrap.indent(textwrap.dedent(self.body).strip(), "    ")
        head = f"import os\nimport pytest\n{textwrap.dedent(self.head)}\n\n"
        definition = f"{'async ' if self.loop else ''}def test_it({parameters}):\n{body}\n"
        directory.joinpath("test_it.py").write_text(
            f"{head}@pytest.mark.parametrize('n', range({N + 1}))\n{definition}"
        )
        directory.joinpath("times").unlink(missing_ok=True)
        pytest(directory, environment, "test_it.py", *arguments, python=python)
        return steady(directory)


def pytest(directory: Path, environment: Mapping[str, str], *arguments: str, python: str = sys.executable) -> None:
    """With the plugins that a user would have, and none that merely happen to be installed here."""
    command = [python, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    if python == sys.executable:
        command += ["-p", "no:hypothesispytest", "-p", "no:schemathesis", "-p", "no:anyio"]
    done = subprocess.run(
        [*command, *arguments], cwd=directory, env=dict(environment), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def steady(directory: Path) -> float:
    """Milliseconds from one test's end to the next one's, over the last nine tenths of a run."""
    times = [float(line) for line in directory.joinpath("times").read_text().split()]
    late = times[len(times) // 10 :]
    return (late[-1] - late[0]) / (len(late) - 1) * 1000


@contextlib.contextmanager
def seeded(directory: Path) -> Iterator[tuple[NativeStack, dict[str, str]]]:
    """A stack of its own with the shipped seed, and the environment of its user."""
    with new_stack(directory, seed=None) as stack:
        stack.up()
        names = ("TEST_STACK_NAME", "TEST_STATE_DIR", "HOME", "XDG_CACHE_HOME")
        yield stack, {**without_services(stack.environment), **{name: stack.variables[name] for name in names}}
