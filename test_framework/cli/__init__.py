"""The command line: thin commands over the rooms below. Exit codes are documented in ``docs/cli.md``."""

from test_framework.cli.commands import cli, main
from test_framework.cli.migration_commands import migrate, scan, template

cli.add_command(scan)
cli.add_command(migrate)
cli.add_command(template)

__all__ = ["main"]
