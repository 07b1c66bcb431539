"""Settings, seeding, exit status. What it says is one plain line per step, or JSON at the end."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path

from test_framework import seeding
from test_framework.errors import FrameworkError
from test_framework.settings import load_settings, read_variables


def main(arguments: list[str] | None = None) -> int:
    """Seed, and return the exit status: 0, or the error's own (5 for a fixture that cannot be loaded)."""
    parser = argparse.ArgumentParser(prog="python -m seeder", description="Seed the stack that the settings name.")
    parser.add_argument("--force", action="store_true", help="load everything anew, and end sessions in the way")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    options = parser.parse_args(arguments)
    try:
        stack_id = read_variables(Path.cwd()).get("TEST_STACK_ID")
        report = asyncio.run(
            seeding.run(
                load_settings(), stack_id=stack_id, force=options.force, progress=None if options.json else _show
            )
        )
    except KeyboardInterrupt:
        return 130  # what was being built is dropped already
    except FrameworkError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(json.dumps(report.as_dict()) if options.json else f"{report.summary}, {report.seconds:.2f} s")
    return 0


def _show(step: seeding.SeedProgress) -> None:
    print(step, flush=True)


if __name__ == "__main__":
    sys.exit(main())
