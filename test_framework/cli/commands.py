"""The commands of ``test-framework``."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import click

from test_framework import __version__
from test_framework.cli.console import make_reporter
from test_framework.errors import FrameworkError
from test_framework.settings import BACKENDS
from test_framework.stack.definition import SERVICES
from test_framework.stack.lifecycle import Stack

__all__ = ["main"]

T = TypeVar("T")
EXIT_UNHEALTHY = 1
EXIT_SERVER = 4
EXIT_INTERRUPTED = 130

backend_option = click.option(
    "--backend", type=click.Choice(BACKENDS), help="How to run the servers; default: TEST_BACKEND, else auto."
)
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="test-framework")
@click.option(
    "--project-dir",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=Path(),
    help="Where .env.test, the override file and your fixtures are; default: the current directory.",
)
@click.pass_context
def cli(context: click.Context, project_dir: Path) -> None:
    """Real PostgreSQL, Redis and ClickHouse to test against.

    Exit codes: 0 done, 1 unhealthy, 2 wrong usage or settings, 3 no backend, 4 a server failed, 5 seeding failed,
    6 a port or space is missing, 7 the stack is busy, 130 interrupted.
    """
    context.obj = project_dir.resolve()


@cli.command()
@backend_option
@json_option
@click.pass_obj
def up(project_dir: Path, backend: str | None, *, as_json: bool) -> None:
    """Start everything, seed it, and return when all of it is healthy."""
    with make_reporter() as report:
        result = run(Stack.of(project_dir, backend=backend, report=report).up())
    from test_framework.cli.output import describe_up

    describe_up(result, as_json=as_json)


@cli.command()
@backend_option
@click.pass_obj
def setup(project_dir: Path, backend: str | None) -> None:
    """Install what the backend lacks, so that the next "up" has nothing left to do but start."""
    from test_framework.stack.preparation import prepare_backend

    with make_reporter() as report:
        prepare_backend(Stack.of(project_dir, backend=backend, report=report))
    click.echo("ready")


@cli.command()
@click.option("--purge-cache", is_flag=True, help="Remove the prepared clusters from the cache as well.")
@click.option("--force", is_flag=True, help="Stop it although tests are running on it.")
@click.pass_obj
def down(project_dir: Path, *, purge_cache: bool, force: bool) -> None:
    """Stop everything and leave nothing behind. Harmless when nothing is up."""
    with make_reporter() as report:
        found = run(Stack.of(project_dir, backend=None, report=report).down(force=force))
    if purge_cache:
        from test_framework.stack.preparation import purge_caches

        purge_caches()
    click.echo("stopped; nothing is left" if found else "nothing was up")


@cli.command()
@json_option
@click.pass_obj
def status(project_dir: Path, *, as_json: bool) -> None:
    """Ask every server now, and show how each is. Exit code 1 when the stack is not healthy."""
    from test_framework.cli.output import show_status

    healthy = show_status(_quiet_stack(project_dir), as_json=as_json)
    sys.exit(0 if healthy else EXIT_UNHEALTHY)


@cli.command()
@click.option("--force", is_flag=True, help="Load again although nothing has changed, also under connected clients.")
@json_option
@click.pass_obj
def seed(project_dir: Path, *, force: bool, as_json: bool) -> None:
    """Bring the seed data of the running stack up to date."""
    _seed(project_dir, force=force, as_json=as_json)


@cli.command()
@json_option
@click.pass_obj
def reset(project_dir: Path, *, as_json: bool) -> None:
    """Put the base data of the running stack back to the seed, whatever was done to it."""
    _seed(project_dir, force=True, as_json=as_json)


def _seed(project_dir: Path, *, force: bool, as_json: bool) -> None:
    from test_framework.stack.backend import describe_seed

    with make_reporter() as report:
        result = run(Stack.of(project_dir, backend=None, report=report).seed(force=force))
    click.echo(
        json.dumps(result.as_dict(), indent=1)
        if as_json
        else f"{'seeded' if result.loaded else 'unchanged'}: {describe_seed(result)}"
    )


@cli.command()
@click.argument("service", type=click.Choice(SERVICES), required=False)
@click.option(
    "-n", "--lines", type=click.IntRange(1, 100_000), default=200, show_default=True, help="Lines of each log."
)
@click.pass_obj
def logs(project_dir: Path, service: str | None, lines: int) -> None:
    """Show the servers' logs: of SERVICE, or the end of each."""
    stack = _quiet_stack(project_dir)
    for name in [service] if service else SERVICES:
        text = stack.logs(name, lines)
        if service is None:
            click.echo(f"==> {name} <==")
        click.echo(text)


@cli.command()
@click.option("--kept", is_flag=True, help="Drop what was kept of failed tests, too.")
@json_option
@click.pass_obj
def reap(project_dir: Path, *, kept: bool, as_json: bool) -> None:
    """Drop the databases that test runs which died left behind. Runs that are alive lose nothing."""
    from test_framework.cli.output import show_reaped
    from test_framework.environment import reap as work

    settings = _quiet_stack(project_dir).settings()
    report = run(work(settings.endpoints, timeout=settings.query_timeout, kept=kept))
    sys.exit(0 if show_reaped(report, as_json=as_json) else EXIT_SERVER)


@cli.command()
@json_option
@click.pass_obj
def validate(project_dir: Path, *, as_json: bool) -> None:
    """Check that the running servers are what the definition says, and try whether they isolate and clean up."""
    from test_framework.cli.output import show_checks
    from test_framework.environment.self_check import check_isolation
    from test_framework.stack.validation import validate_stack

    stack = _quiet_stack(project_dir)
    checks = run(validate_stack(stack.settings(), stack.definition(), stack.published()))
    checks += run(check_isolation(stack.settings().endpoints))
    sys.exit(0 if show_checks(checks, as_json=as_json) else EXIT_UNHEALTHY)


@cli.command()
@backend_option
@json_option
@click.pass_obj
def doctor(project_dir: Path, backend: str | None, *, as_json: bool) -> None:
    """Say which backend would run the servers and why, what is missing, and how to get it."""
    from test_framework.cli.output import show_checks
    from test_framework.stack.diagnosis import diagnose

    checks = diagnose(_quiet_stack(project_dir, backend))
    sys.exit(0 if show_checks(checks, as_json=as_json) else EXIT_UNHEALTHY)


@cli.command()
@click.option("--format", "style", type=click.Choice(["shell", "dotenv", "json"]), default="shell", show_default=True)
@click.pass_obj
def env(project_dir: Path, style: str) -> None:
    """Print the variables that point any program at the running stack: eval "$(test-framework env)"."""
    from test_framework.cli.output import environment_text

    stack = _quiet_stack(project_dir)
    stack.published()
    click.echo(environment_text(stack.settings(), style))


def _quiet_stack(project_dir: Path, backend: str | None = None) -> Stack:
    return Stack.of(project_dir, backend=backend, report=lambda service, text: None)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run ``work`` so that Ctrl-C, SIGTERM and a closed terminal cancel it, with everything cleaned up.

    The signals go through the event loop, once: a second Ctrl-C cannot interrupt the cleaning up.
    """

    async def guarded() -> T:
        task = asyncio.current_task()
        assert task is not None
        stop = _once(task.cancel)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup, or a shell's background job
                asyncio.get_running_loop().add_signal_handler(number, stop)
        try:
            return await work
        except FrameworkError:
            # Ctrl-C goes to child processes as well: what then looks like their failure is an interruption.
            await asyncio.sleep(0.02)
            raise

    try:
        return asyncio.run(guarded())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


def _once(action: Callable[[], object]) -> Callable[[], None]:
    left = [action]

    def act() -> None:
        if left:
            left.pop()()

    return act


def main(arguments: list[str] | None = None) -> None:
    """Entry point: every expected error becomes a message without a traceback, and its exit code."""
    call: Callable[..., Any] = cli.main
    try:
        call(args=arguments, prog_name="test-framework", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except FrameworkError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted; what was begun has been undone", err=True)
        sys.exit(EXIT_INTERRUPTED)
    except BrokenPipeError:
        # Whoever read our output has seen enough ("logs | head"). Python would complain once more at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_UNHEALTHY)
