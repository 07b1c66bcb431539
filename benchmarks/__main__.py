"""``python -m benchmarks [NAME…] [--write]``: run the benchmarks and print, or record, what they found.

Each module ``bench_NAME.py`` has ``measure() -> Iterable[Section]``. With ``--write`` the sections replace those of the
same title in docs/benchmarks.md; sections that were not run stay.
"""

from __future__ import annotations

import argparse
import importlib
import re
import signal
import sys
from pathlib import Path

from benchmarks.common import Section, compiled_once, machine

HERE = Path(__file__).resolve().parent
RECORD = HERE.parent / "docs" / "benchmarks.md"
PREAMBLE = """\
# Benchmarks

Made by `make bench`; each figure is the median of the runs given beside it. Machines are shared and noisy: read the
ratios, which come from interleaved runs of both sides.
"""


def names() -> list[str]:
    return sorted(file.stem.removeprefix("bench_") for file in HERE.glob("bench_*.py"))


def record(sections: list[Section]) -> None:
    """Put ``sections`` into the record, each in the place of its predecessor or at the end."""
    text = RECORD.read_text("utf-8") if RECORD.exists() else PREAMBLE
    for section in sections:
        block = f"## {section.title}\n\n{section.body.rstrip()}\n"
        pattern = re.compile(rf"^## {re.escape(section.title)}\n.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
        if pattern.search(text):
            text = pattern.sub(lambda _, block=block: block + "\n", text)
        else:
            text = text.rstrip() + "\n\n" + block
    RECORD.write_text(text.rstrip() + "\n", "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*names(), []], help=f"which: {', '.join(names())}; default: all")
    parser.add_argument("--write", action="store_true", help="record the figures in docs/benchmarks.md")
    options = parser.parse_args()
    # A run that is told to end, by a time limit for one, takes its servers along.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    print(machine())
    with compiled_once():
        for name in options.names or names():
            sections = list(importlib.import_module(f"benchmarks.bench_{name}").measure())
            for section in sections:
                print(f"\n## {section.title}\n\n{section.body}")
            if options.write:
                record(sections)


if __name__ == "__main__":
    main()
