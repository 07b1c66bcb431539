"""The work of ``template``."""

from __future__ import annotations

from pathlib import Path

import click

from test_framework.cli.rewriting import read_or_refuse
from test_framework.cli.scanning import ScanOptions, read_tree, readers_may_leave
from test_framework.errors import SettingsError
from test_framework.migration.template import template
from test_framework.migration.writing import replace_file

__all__ = ["run_template"]


def run_template(file: Path, output: Path | None, *, force: bool) -> None:
    """Print a starting point for ``file``, or write it."""
    if output is not None and output.exists() and not force:
        raise SettingsError(f"{output} exists", fix="name another file, or write over it with --force")
    report = read_tree(ScanOptions(paths=(file,)))
    [found] = report.files
    if found.error:
        raise SettingsError(f"{file} cannot be parsed", cause=found.error)
    text = template(found, read_or_refuse(file).text)
    if output is None:
        with readers_may_leave():
            click.echo(text, nl=False)
        return
    replace_file(output, text.encode())
    click.echo(f"{output} written", err=True)
