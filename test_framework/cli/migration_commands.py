"""The commands ``scan``, ``migrate`` and ``template``. What they need is imported when they run: help stays fast."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from test_framework.migration.model import Category

__all__ = ["migrate", "scan", "template"]

EXIT_FOUND = 1
FILE = click.Path(dir_okay=False, path_type=Path)

paths_argument = click.argument("paths", nargs=-1, type=click.Path(exists=True, path_type=Path))
jobs_option = click.option(
    "--jobs", type=click.IntRange(1, 256), metavar="N", help="Processes that read files; default: one a processor."
)
exclude_option = click.option(
    "--exclude", multiple=True, metavar="PATTERN", help="Leave out what matches, written as in .gitignore. Repeatable."
)
cache_option = click.option("--no-cache", is_flag=True, help="Neither use nor write the cache of earlier scans.")


def _categories(_context: click.Context, _option: click.Parameter, value: str | None) -> tuple[Category, ...] | None:
    """The categories that are named, with commas between them."""
    from test_framework.migration.model import Category

    known = [category.value for category in Category]
    names = [] if value is None else [name.strip() for name in value.split(",")]
    for name in names:
        if name not in known:
            raise click.BadParameter(f"{name!r} is none of {', '.join(known)}")
    return None if value is None else tuple(Category(name) for name in names)


class ScanCommand(click.Command):
    """``--json`` takes a file only if one is meant, so that ``scan --json tests`` still scans ``tests``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, list(_with_json_target(args)))


def _with_json_target(args: list[str]) -> Iterator[str]:
    rest = iter(args)
    for word in rest:
        if word == "--":
            yield word
            yield from rest
        elif word != "--json":
            yield word
        else:
            following = next(rest, None)
            if following is not None and (following == "-" or following.endswith(".json")):
                yield f"--json={following}"
            else:
                yield "--json=-"
                yield from _with_json_target([] if following is None else [following, *rest])


@click.command(cls=ScanCommand)
@paths_argument
@click.option("--json", "json_file", metavar="[FILE.json]", help="One JSON object, on standard output or in a file.")
@click.option("--html", "html_file", metavar="FILE", help="One self-contained page with sortable table and charts.")
@click.option("--sarif", "sarif_file", metavar="FILE", help="SARIF 2.1.0, for code hosts and editors.")
@click.option("--github", is_flag=True, help="Annotations for GitHub Actions; with a baseline only for new mocks.")
@click.option("--only", callback=_categories, metavar="CATEGORY,…", help="Only mocks of these: database, redis, …")
@click.option("--without", callback=_categories, metavar="CATEGORY,…", help="All mocks but those of these.")
@click.option("--fail-over", type=click.IntRange(0), metavar="N", help="Exit code 1 if there are more than N mocks.")
@click.option("--baseline", type=FILE, metavar="FILE", help="Exit code 1 if there are mocks that FILE does not record.")
@click.option("--update-baseline", is_flag=True, help="Take what is gone out of the baseline; create it if need be.")
@click.option("--accept-new", is_flag=True, help="With --update-baseline: take new mocks into the baseline, too.")
@click.option("--top", type=click.IntRange(0), default=20, show_default=True, help="Length of the order of work.")
@exclude_option
@jobs_option
@cache_option
@click.pass_obj
def scan(
    project_dir: Path,
    /,
    paths: tuple[Path, ...],
    *,
    only: tuple[Category, ...] | None,
    without: tuple[Category, ...] | None,
    update_baseline: bool,
    accept_new: bool,
    **options: Any,
) -> None:
    """Find every use of a mock in Python files: what it stands in for, and whether it can be replaced.

    Changes nothing. Exit code 1: more mocks than --fail-over allows, or new ones with --baseline.
    """
    from test_framework.cli.scanning import Ratchet, ScanRequest, run_scan
    from test_framework.migration.model import Category

    if update_baseline and not options["baseline"]:
        raise click.UsageError("--update-baseline needs --baseline FILE")
    if accept_new and not update_baseline:
        raise click.UsageError("--accept-new needs --update-baseline")
    if only is not None and without is not None:
        raise click.UsageError("--only and --without exclude each other")
    ratchet = Ratchet(options.pop("baseline"), update=update_baseline, accept=accept_new)
    categories = only or tuple(category for category in Category if category not in (without or ()))
    passed = run_scan(ScanRequest(paths=paths or (project_dir,), ratchet=ratchet, categories=categories, **options))
    sys.exit(0 if passed else EXIT_FOUND)


@click.command()
@paths_argument
@click.option("--diff", is_flag=True, help="Show what changes. The default without --write.")
@click.option("--write", is_flag=True, help="Change the files: all of them or, on any trouble, none.")
@click.option("--force", is_flag=True, help="With --write: also files with uncommitted changes.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output, diffs included.")
@exclude_option
@jobs_option
@cache_option
@click.pass_obj
def migrate(project_dir: Path, /, paths: tuple[Path, ...], **options: Any) -> None:
    """Rewrite tests with mocks of PostgreSQL, Redis and ClickHouse into tests on the real ones.

    What cannot be decided stays as it is, with one comment that says what a person must do. Shows a diff unless told to
    write.
    """
    from test_framework.cli.rewriting import MigrateRequest, run_migrate

    if options["force"] and not options["write"]:
        raise click.UsageError("--force needs --write")
    run_migrate(MigrateRequest(paths=paths or (project_dir,), **options))


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--output", type=FILE, metavar="FILE", help="Write it there instead of printing it.")
@click.option("--force", is_flag=True, help="With --output: write over a file that exists.")
def template(file: Path, output: Path | None, *, force: bool) -> None:
    """Print a starting point for FILE's tests on real services, from what its mocks say."""
    from test_framework.cli.templating import run_template

    run_template(file, output, force=force)
