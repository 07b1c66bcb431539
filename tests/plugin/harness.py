"""Test runs from outside: a project in a directory of its own, pytest in a process of its own, a real stack."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.native_stack import CHECKOUT

__all__ = ["Outcome", "Project", "Result"]

TIMEOUT = 100.0
STRANGERS = ("hypothesispytest", "schemathesis")
_COUNT = re.compile(r"(\d+) (passed|failed|skipped|error|xfailed|xpassed|warning|deselected)s?\b")
_SUM = re.compile(r"^=* ?\d+ \w+.* in [\d.]+s")


@dataclass(frozen=True)
class Outcome:
    """One inner test, as JUnit tells it."""

    name: str
    kind: str
    message: str
    properties: Mapping[str, str]


@dataclass(frozen=True)
class Result:
    """What a run came to."""

    status: int
    text: str
    outcomes: Mapping[str, Outcome]

    def counts(self) -> dict[str, int]:
        """From the line that sums up: ``{"passed": 3}``; warnings are left out."""
        lines = [line for line in self.text.splitlines() if _SUM.search(line)]
        assert lines, self.text
        found = {kind: int(number) for number, kind in _COUNT.findall(lines[-1])}
        return {kind: number for kind, number in found.items() if kind != "warning"}

    def passes(self, **counts: int) -> Result:
        """Assert that exactly this happened, showing the whole run otherwise."""
        assert self.counts() == counts, self.text
        return self

    def lines(self, word: str) -> list[str]:
        return [line for line in self.text.splitlines() if word in line]


class Project:
    """A user's project. Its files are written by :meth:`write`; ``pytest.ini`` turns warnings into errors."""

    def __init__(self, path: Path, environment: Mapping[str, str]) -> None:
        self.path = path
        self.environment = dict(environment)
        self.ini()

    def ini(self, *lines: str, asyncio_mode: str = "auto") -> Project:
        """Write ``pytest.ini``."""
        fixed = [
            "[pytest]",
            f"asyncio_mode = {asyncio_mode}",
            "asyncio_default_fixture_loop_scope = function",
            "filterwarnings = error",
            "addopts = --strict-markers --strict-config",
        ]
        self.path.joinpath("pytest.ini").write_text("\n".join([*fixed, *lines]) + "\n")
        return self

    def write(self, **files: str) -> Project:
        """``write(test_a="…")`` writes ``test_a.py``."""
        for name, text in files.items():
            path = self.path / f"{name.replace('__', '/')}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text))
        return self

    def start(self, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        """Begin a run."""
        environment = {**self.environment, **variables}
        # Plugins that happen to be installed beside us and take seconds to load, in every worker.
        without_strangers = [word for name in STRANGERS for word in ("-p", f"no:{name}")]
        return subprocess.Popen(
            [
                sys.executable,
                "-P",
                "-m",
                "pytest",
                "-p",
                "no:cacheprovider",
                *without_strangers,
                "-p",
                "no:schemathesis",
                f"--junitxml={self.junit}",
                *arguments,
            ],
            cwd=self.path,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    @property
    def junit(self) -> Path:
        return self.path / "junit.xml"

    def finish(self, process: subprocess.Popen[str]) -> Result:
        """Wait for a run's end."""
        try:
            text, _ = process.communicate(timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            text, _ = process.communicate()
            raise AssertionError(f"pytest did not end:\n{text}") from None
        return Result(process.returncode, text, self._outcomes())

    def run(self, *arguments: str, **variables: str) -> Result:
        """Run pytest to its end."""
        self.junit.unlink(missing_ok=True)
        return self.finish(self.start(*arguments, **variables))

    def script(self, text: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run Python without pytest."""
        return subprocess.run(
            [sys.executable, "-P", "-W", "default", "-c", textwrap.dedent(text)],
            cwd=self.path,
            env={**self.environment, **variables},
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )

    def _outcomes(self) -> dict[str, Outcome]:
        if not self.junit.exists():
            return {}
        return {case.name: case for case in map(_outcome, ET.parse(self.junit).iter("testcase"))}


def _outcome(case: ET.Element) -> Outcome:
    kinds = [child for child in case if child.tag in ("failure", "error", "skipped")]
    return Outcome(
        name=case.get("name", ""),
        kind=kinds[0].tag if kinds else "passed",
        message=kinds[0].get("message", "") if kinds else "",
        properties={each.get("name", ""): each.get("value", "") for each in case.iter("property")},
    )


def without_services(environment: Mapping[str, str]) -> dict[str, str]:
    """``environment`` as it is where no stack is up and nobody named one."""
    ours = ("TEST_", "USE_REAL_SERVICES", "CI", "PYTEST_", "DATABASE_URL", "REDIS_URL", "CLICKHOUSE_URL")
    return {
        **{name: value for name, value in environment.items() if not name.startswith(ours)},
        "PYTHONPATH": str(CHECKOUT),
    }
