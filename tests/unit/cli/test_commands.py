"""The command line's own promises: exit codes, help, signals."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from pathlib import Path

import pytest

from test_framework import errors
from test_framework.cli.commands import EXIT_INTERRUPTED, cli, main, run

DOCS = Path(__file__).parents[3] / "docs" / "cli.md"


def test_every_command_is_documented_and_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    text = DOCS.read_text("utf-8")
    for name in cli.commands:
        assert re.search(rf"^\| `{name}\b", text, re.MULTILINE), name
        main([name, "--help"])
        assert "Usage: test-framework" in capsys.readouterr().out


def test_every_documented_option_exists() -> None:
    for name, options in re.findall(r"^\| `(\w+)([^`]*)`", DOCS.read_text("utf-8"), re.MULTILINE):
        for option in re.findall(r"--[a-z-]+", options):
            assert any(option in parameter.opts for parameter in cli.commands[name].params), (name, option)


def test_every_exit_code_of_the_errors_is_documented() -> None:
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", DOCS.read_text("utf-8"), re.MULTILINE)}
    raised = {getattr(errors, name).exit_code for name in errors.__all__}
    assert raised <= documented
    assert EXIT_INTERRUPTED in documented


@pytest.mark.parametrize("name", errors.__all__)
def test_an_error_becomes_its_message_and_exit_code(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = getattr(errors, name)
    options = {"service": "test-redis"} if issubclass(kind, errors.ServiceUnavailable) else {}

    def fail(**_: object) -> None:
        raise kind("it broke", cause="because", fix="do this", **options)

    monkeypatch.setattr(cli, "main", fail)
    with pytest.raises(SystemExit) as caught:
        main([])
    assert caught.value.code == kind.exit_code
    assert capsys.readouterr().err == "error: it broke\n  cause: because\n  fix: do this\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_cancels_the_work_once_and_lets_it_clean_up(number: signal.Signals) -> None:
    cleaned = []

    async def work() -> None:
        try:
            os.kill(os.getpid(), number)
            await asyncio.sleep(60)
        finally:
            os.kill(os.getpid(), number)  # pressed again, during the cleaning up
            await asyncio.sleep(0.1)
            cleaned.append(True)

    with pytest.raises(KeyboardInterrupt):
        run(work())
    assert cleaned == [True]


def test_an_error_that_the_same_ctrl_c_caused_in_a_child_is_an_interruption() -> None:
    async def work() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        raise errors.StackError("the child died")

    with pytest.raises(KeyboardInterrupt):
        run(work())


def test_an_error_without_a_signal_stays_that_error() -> None:
    async def work() -> None:
        raise errors.StackError("it failed")

    with pytest.raises(errors.StackError):
        run(work())


def test_the_result_of_the_work_is_returned() -> None:
    async def work() -> int:
        return 42

    assert run(work()) == 42
