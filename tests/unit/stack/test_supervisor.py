"""supervisord itself reads back what was meant, whatever characters are in it; and it keeps its word."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st
from supervisor.options import ServerOptions

from test_framework.errors import StackError
from test_framework.stack.run_directory import is_running
from test_framework.stack.supervisor import ServerProgram, Supervisor, command_variables

WORDS = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)))


def commands(directory: Path, programs: Sequence[ServerProgram]) -> list[list[str]]:
    """The words that supervisor would run."""
    file = directory / "supervisord.conf"
    file.write_text(Supervisor(directory)._configuration(programs), "utf-8")
    with mock.patch.dict(os.environ, {"TEST_FRAMEWORK_SUPERVISOR_SOCKET": "s", **command_variables(programs)}):
        options = ServerOptions()
    options.realize(["-c", str(file)], doc="")
    return [shlex.split(config.command) for group in options.process_group_configs for config in group.process_configs]


@given(words=st.lists(WORDS, min_size=1, max_size=4))
def test_any_words_are_read_back_the_same(tmp_path_factory: pytest.TempPathFactory, words: list[str]) -> None:
    directory = tmp_path_factory.getbasetemp()
    (directory / "logs").mkdir(exist_ok=True)
    assert commands(directory, [ServerProgram(name="p", argv=["/bin/x", *words])]) == [["/bin/x", *words]]


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    run_dir = tmp_path / "it's #1; a dir"
    run_dir.mkdir()
    supervisor = Supervisor(run_dir)
    with contextlib.ExitStack() as cleaning:
        cleaning.callback(supervisor.shutdown, 10)
        yield supervisor


def program(name: str, script: str, *arguments: str) -> ServerProgram:
    return ServerProgram(name=name, argv=[sys.executable, "-u", "-c", f"import os,sys,time\n{script}", *arguments])


def eventually(log: Path, text: str) -> str:
    give_up = time.monotonic() + 20
    while not (log.exists() and text in log.read_text()):
        assert time.monotonic() < give_up, log.read_text() if log.exists() else "no log"
        time.sleep(0.01)
    return log.read_text()


def test_a_program_gets_its_words_and_environment_and_its_output_is_kept(supervisor: Supervisor) -> None:
    value = 'it\'s "%s" ; # $x'
    supervisor.launch([program("p", "print(sys.argv[1:], os.environ['V'])\ntime.sleep(600)", value)], {"V": value})
    assert supervisor.states()["p"]["statename"] == "STOPPED"
    supervisor.start("p")
    assert f"{[value]} {value}" in eventually(supervisor.log("p"), "]")


def test_a_program_that_ends_is_started_again(supervisor: Supervisor) -> None:
    supervisor.launch([program("p", "print('pid', os.getpid())\nsys.exit(3)")], {})
    supervisor.start("p")
    eventually(supervisor.log("p"), "pid")
    give_up = time.monotonic() + 20
    while supervisor.log("p").read_text().count("pid") < 2:
        assert time.monotonic() < give_up
        time.sleep(0.02)


def test_shutdown_ends_all_programs_and_is_harmless_twice(supervisor: Supervisor) -> None:
    supervisor.launch([program(name, "print('up')\ntime.sleep(600)") for name in "ab"], {})
    for name in "ab":
        supervisor.start(name)
        eventually(supervisor.log(name), "up")
    pids = [info["pid"] for info in supervisor.states().values()]
    pid = supervisor.pid()
    assert pid is not None
    supervisor.shutdown(10)
    assert [each for each in (pid, *pids) if is_running(each)] == []
    assert supervisor.states() == {}
    supervisor.shutdown(10)


def test_no_password_of_the_environment_is_written_down(supervisor: Supervisor) -> None:
    supervisor.launch([program("p", "print('up')\ntime.sleep(600)")], {"SECRET": "canary-4711"})
    supervisor.start("p")
    eventually(supervisor.log("p"), "up")
    files = [file for file in supervisor.run_dir.rglob("*") if file.is_file()]
    assert len(files) >= 3
    assert [file for file in files if "canary" in file.read_text(errors="replace")] == []


def test_starting_with_a_supervisor_that_is_gone_is_an_error_of_ours(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="could not start p"):
        Supervisor(tmp_path).start("p")
    assert Supervisor(tmp_path).states() == {}
    assert Supervisor(tmp_path).pid() is None


def test_a_supervisor_that_cannot_start_tells_why(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="did not start") as caught:
        Supervisor(tmp_path).launch([ServerProgram(name="p", argv=["/bin/true"], user="no-such-user")], {})
    assert "no-such-user" in (caught.value.cause or "")


def test_a_stale_pid_file_names_nobody(supervisor: Supervisor) -> None:
    (supervisor.run_dir / "supervisord.pid").write_text(str(os.getpid()))
    assert supervisor.pid() is None
