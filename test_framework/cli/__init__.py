"""The command line: thin commands over the rooms below. Exit codes are documented in ``docs/cli.md``."""

from test_framework.cli.commands import main

__all__ = ["main"]
