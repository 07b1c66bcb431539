"""Environment, file and language model fixtures, the report and the levels, in runs of pytest from outside."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from test_framework.external.application import load_application
from test_framework.external.backing import Backing
from test_framework.external.reference.llm import KEY
from test_framework.external.serving import close_threads, start_service
from tests.native_stack import NativeStack
from tests.plugin.harness import Project

HERE = Path(__file__).parent / "projects" / "environments"


@pytest.fixture(scope="module")
def llm_url() -> Iterator[str]:
    service = start_service(load_application("test_framework.external.reference.llm:create_app"), Backing())
    yield f"{service.url}/v1"
    service.stop()
    close_threads()


@pytest.mark.parametrize("scope", ["function", "session"])
def test_every_environment_fixture_keeps_its_promises(project: Project, scope: str) -> None:
    project.ini(f"asyncio_default_test_loop_scope = {scope}", asyncio_mode="strict")
    shutil.copy(HERE / "test_environment_fixtures.py", project.path)
    result = project.run("-q", USE_REAL_SERVICES="true", **_own(project))
    assert result.status == 0, result.text


def _own(project: Project) -> dict[str, str]:
    """Temporary files of the inner run go to a directory that can be looked into afterwards."""
    directory = project.path / "tmp"
    directory.mkdir(exist_ok=True)
    return {"TMPDIR": str(directory)}


def _left(project: Project) -> list[str]:
    return [path.name for path in (project.path / "tmp").iterdir() if not path.name.startswith("pytest-of-")]


FAILING = """
async def test_a(comprehensive_test_environment):
    await comprehensive_test_environment["filesystem"].create_file("evidence.txt", "look at me")
    await comprehensive_test_environment["http"].get("/healthz")
    assert False

def test_b(isolated_filesystem):
    isolated_filesystem.path.joinpath("b").write_text("x")
"""


def test_nothing_of_a_failed_test_stays_unless_that_is_asked_for(project: Project, stack: NativeStack) -> None:
    project.write(test_a=FAILING)
    project.run("-q", **_own(project)).passes(failed=1, passed=1)
    assert _left(project) == []
    result = project.run("-q", "--keep-failed", **_own(project)).passes(failed=1, passed=1)
    (kept,) = _left(project)
    assert (project.path / "tmp" / kept / "evidence.txt").read_text() == "look at me"
    assert result.lines(f"cd {project.path / 'tmp' / kept}")
    assert result.lines("psql")
    stack.ok("reap", "--kept")


LLM = """
import pytest

@pytest.mark.requires_llm
async def test_a(real_llm):
    assert (await real_llm.chat("hello")).text == "You said: hello"

async def test_b(comprehensive_test_environment):
    pieces = [piece async for piece in comprehensive_test_environment["llm"].stream("in pieces")]
    assert "".join(pieces) == "You said: in pieces"

def test_c(real_llm):
    assert real_llm.calls == 0
"""
INI = ("llm_model = echo-1", "llm_prices =\n  echo-1 = 1 2\n  other = 5 5")


def test_a_model_is_recorded_once_and_replayed_ever_after(project: Project, llm_url: str) -> None:
    project.ini(*INI).write(test_a=LLM)
    skipped = project.run("-q", "-rs", **_own(project)).passes(skipped=2, passed=1)
    assert "TEST_LLM_API_KEY" in skipped.text
    assert skipped.lines("no language model: there is no recording cassettes/test_a/test_a.yaml")
    live = {"TEST_LLM_API_KEY": KEY, "TEST_LLM_BASE_URL": llm_url}
    project.run("-q", **live, **_own(project)).passes(passed=3)
    recordings = sorted(path.name for path in (project.path / "cassettes" / "test_a").iterdir())
    assert recordings == ["test_a.yaml", "test_b.yaml"]
    assert KEY not in (project.path / "cassettes" / "test_a" / "test_a.yaml").read_text()
    project.run("-q", TEST_LLM_BASE_URL="http://127.0.0.1:1/v1", **_own(project)).passes(passed=3)
    assert _left(project) == []


def test_a_changed_question_fails_with_what_was_recorded_until_it_is_recorded_anew(
    project: Project, llm_url: str
) -> None:
    live = {"TEST_LLM_API_KEY": KEY, "TEST_LLM_BASE_URL": llm_url}
    test = "async def test_a(real_llm):\n    await real_llm.chat('the capital of {}')\n"
    project.ini(*INI).write(test_a=test.format("France"))
    project.run("-q", **live).passes(passed=1)
    project.write(test_a=test.format("Spain"))
    result = project.run("-q", **live).passes(failed=1)
    assert "the capital of France" in result.text
    assert "--llm-record" in result.text
    project.run("-q", "--llm-record", **live).passes(passed=1)
    project.run("-q").passes(passed=1)


def test_a_failed_test_is_not_recorded(project: Project, llm_url: str) -> None:
    project.ini(*INI).write(test_a="async def test_a(real_llm):\n    await real_llm.chat('hello')\n    assert False\n")
    project.run("-q", TEST_LLM_API_KEY=KEY, TEST_LLM_BASE_URL=llm_url).passes(failed=1)
    assert not (project.path / "cassettes").exists()


def test_the_budget_of_a_run_holds_over_its_workers(project: Project, llm_url: str) -> None:
    project.ini("llm_model = echo-1", "llm_prices = echo-1 = 1000 1000", "llm_run_budget = 0.30", "llm_test_budget = 1")
    project.write(
        test_a="""
        import pytest

        @pytest.mark.parametrize("n", range(16))
        async def test_a(real_llm, n):
            await real_llm.chat(f"question {n}", max_tokens=150)
        """
    )
    result = project.run(
        "-q", "-n", "2", TEST_LLM_API_KEY=KEY, TEST_LLM_BASE_URL=llm_url, TEST_LLM_RATE="100000", **_own(project)
    )
    assert "of the run" in result.text
    assert "llm_run_budget" in result.text
    # Each call may cost 0.27 and costs 0.009: a purse is empty after four, two of them would be after eight.
    assert 1 <= result.counts()["passed"] <= 5
    assert result.counts()["failed"] >= 11
    assert _left(project) == []


MEASURED = """
import pytest

LEAK = []

@pytest.fixture
def leaky():
    yield
    LEAK.append(bytearray(b"x" * 300_000))

@pytest.mark.parametrize("n", range(40))
def test_dsn(postgres_dsn, n):
    pass

@pytest.mark.parametrize("n", range(30))
def test_leaky(leaky, redis_url, n):
    pass
"""


@pytest.mark.parametrize("workers", [(), ("-n", "2")])
def test_a_report_has_the_figures_of_all_workers_and_names_the_leaking_fixture(
    project: Project, workers: tuple[str, ...]
) -> None:
    project.write(test_a=MEASURED)
    result = project.run("-q", *workers, "--real-services-report=out/report.json", "--real-services-level=ci-fast")
    assert result.status == 0, result.text
    found = json.loads((project.path / "out" / "report.json").read_text())
    counts = {each["service"]: each["count"] for each in found["services"]}
    assert counts == {"postgres": 40, "redis": 30}
    assert found["about"]["level"] == "CI_FAST"
    assert len(found["measured"]["memory"]) == 70
    assert [each["subject"] for each in found["findings"] if each["kind"] == "leak"] == ["leaky"]
    assert result.lines("postgres: 40 namespaces")
    assert result.lines("the report is in out/report.json")


def test_a_report_is_a_page_by_its_name_and_another_name_is_refused(project: Project) -> None:
    project.write(test_a="async def test_a(real_redis):\n    await real_redis.ping()\n")
    project.run("-q", "--real-services-report=report.html").passes(passed=1)
    assert (project.path / "report.html").read_text().startswith("<!doctype html>")
    refused = project.run("-q", "--real-services-report=report.pdf")
    assert refused.status == 4
    assert ".html or .json" in refused.text


@pytest.mark.parametrize(
    ("arguments", "variables", "ini", "level"),
    [
        (("--real-services-level=production",), {"TEST_LEVEL": "development"}, "ci_fast", "PRODUCTION"),
        ((), {"TEST_LEVEL": "CI_THOROUGH"}, "ci_fast", "CI_THOROUGH"),
        ((), {}, "ci_fast", "CI_FAST"),
    ],
)
def test_a_level_is_chosen_by_hand_then_by_variable_then_by_ini(
    project: Project, arguments: tuple[str, ...], variables: dict[str, str], ini: str, level: str
) -> None:
    project.ini(f"real_services_level = {ini}")
    project.write(
        test_a="""
        def test_a(request, redis_url):
            from test_framework.plugin.run import run_of
            run = run_of(request.config)
            print("LEVEL", run.gauges.level.name, run.broker.options.pool_size == run.gauges.policy.warm_clones)
        """
    )
    result = project.run("-q", "-s", *arguments, **variables)
    assert result.lines(f"LEVEL {level} True"), result.text


def test_an_unknown_level_is_a_usage_error(project: Project) -> None:
    project.write(test_a="def test_a(redis_url):\n    pass\n")
    for arguments, variables in ((("--real-services-level=fast",), {}), ((), {"TEST_LEVEL": "fast"})):
        result = project.run("-q", *arguments, **variables)
        assert result.status != 0
        assert "'fast'" in result.text
