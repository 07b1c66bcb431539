"""Scanning a large tree of test files for mocks: cold, with its cache, and the memory of all processes.

    python -m benchmarks.bench_migration [--files N]

The tree is made from the labelled files of the tests and from tests without mocks: each file is several of them
one after another under new names of tests, so it has the forms, the imports and the length (about 200 lines) of a real
test file; each folder has a conftest.py whose fixtures its files use.
"""

from __future__ import annotations

import argparse
import ast
import json
import random
import re
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from benchmarks.common import Section, machine

LABELLED = Path(__file__).resolve().parent.parent / "tests" / "data" / "migration" / "labelled"
FILES = 3_200
LINES = 196
FOLDERS = 80
CHILD = """
import json, sys, time
from pathlib import Path
from test_framework.migration.scanner import scan
if __name__ == "__main__":
    begun = time.perf_counter()
    report = scan([Path(sys.argv[1])], cache=Path(sys.argv[2]), jobs=2)
    print(json.dumps([time.perf_counter() - begun, len(report.files), report.lines, len(report.uses), report.cached]))
"""


def sources() -> list[str]:
    """The labelled files that can follow one another in one module."""
    found = []
    for file in sorted(LABELLED.rglob("*.py")):
        text = file.read_text("utf-8")
        try:
            ast.parse(text)
        except SyntaxError:
            continue
        if "__future__" not in text and text.strip():
            found.append(text)
    return found


PLAIN = """
class TestPlain{number}:
    def test_totals_{number}(self):
        order = {{"id": {number}, "lines": [{{"sku": "a-{number}", "amount": 3}}, {{"sku": "b", "amount": 1}}]}}
        total = sum(line["amount"] for line in order["lines"])
        assert total == 4
        assert order["id"] == {number}
        assert [line["sku"] for line in order["lines"]] == ["a-{number}", "b"]

    def test_rounding_{number}(self):
        values = [round(value / 7, 3) for value in range({number}, {number} + 9)]
        assert values == sorted(values)
        for left, right in zip(values, values[1:]):
            assert right - left < 0.2

    def test_text_{number}(self):
        text = "order {number} was shipped to the customer"
        words = text.split()
        assert words[1] == str({number})
        assert " ".join(words).startswith("order")
        assert text.replace("shipped", "billed").count("billed") == 1

"""
"""Every test file has tests that need no mock."""


def generate(root: Path, files: int = FILES) -> int:
    """Write the tree; returns its number of lines."""
    chance, parts, lines = random.Random(7), sources(), 0
    conftests = [LABELLED / "shop" / "conftest.py", LABELLED / "hub" / "conftest.py", LABELLED / "auto" / "conftest.py"]
    for number in range(FOLDERS):
        folder = root / f"service_{number:03}" / "tests"
        folder.mkdir(parents=True)
        text = conftests[number % len(conftests)].read_text("utf-8")
        (folder / "conftest.py").write_text(text, "utf-8")
        lines += text.count("\n")
    for number in range(files - FOLDERS):
        text = ""
        while text.count("\n") < LINES:
            part = chance.choice(parts)
            if chance.random() < 0.55:
                text += PLAIN.format(number=text.count("\n"))
                continue
            text += re.sub(r"(?m)^(\s*(?:async )?def test_\w+)", rf"\g<1>_{text.count(chr(10))}", part) + "\n\n"
        folder = root / f"service_{number % FOLDERS:03}" / "tests" / f"group_{number % 7}"
        folder.mkdir(exist_ok=True)
        (folder / f"test_{number:04}.py").write_text(text, "utf-8")
        lines += text.count("\n")
    return lines


def peak_of(process: subprocess.Popen[str]) -> int:
    """The largest sum of resident memory of a process and its children, in bytes, until it ends."""
    peak, parent = 0, psutil.Process(process.pid)
    while process.poll() is None:
        total = 0
        try:
            for one in [parent, *parent.children(recursive=True)]:
                total += one.memory_info().rss
        except psutil.Error:
            continue
        peak = max(peak, total)
        time.sleep(0.05)
    return peak


def processor_seconds() -> float:
    """Processor time of all child processes that have ended so far, theirs included."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def run(root: Path, cache: Path) -> tuple[float, int, list[float], float]:
    """Seconds from start to end of a process that scans, the peak of memory, its report, its processor seconds."""
    script = cache.parent / "scan_once.py"
    script.write_text(CHILD, "utf-8")
    begun, spent = time.perf_counter(), processor_seconds()
    command = [sys.executable, str(script), str(root), str(cache)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=LABELLED.parents[3])
    peaks: list[int] = []
    watcher = threading.Thread(target=lambda: peaks.append(peak_of(process)))
    watcher.start()
    output, _ = process.communicate()
    watcher.join()
    return time.perf_counter() - begun, peaks[0], json.loads(output), processor_seconds() - spent


def measure(files: int = FILES) -> Iterator[Section]:
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        root, cache = Path(name, "tree"), Path(name, "cache")
        cache.mkdir()
        lines = generate(root, files)
        cold, cold_peak, report, cold_spent = run(root, cache)
        warm, warm_peak, known, warm_spent = sorted((run(root, cache) for _ in range(3)), key=lambda one: one[0])[1]
    rows = [
        f"`python -m benchmarks.bench_migration` on {machine()}:",
        f"{int(report[1])} files, {lines} lines, {int(report[3])} uses;",
        "whole process, start of the interpreter included; memory is the sum of all processes. On a machine busy with",
        "other work the seconds grow with the load; the processor time does not.",
        "",
        "| scan | seconds | processor seconds | peak MiB | bound |",
        "|---|---:|---:|---:|---|",
        f"| cold, 2 processes | {cold:.1f} | {cold_spent:.1f} | {cold_peak >> 20} | 20 s, 500 MiB |",
        f"| cached ({int(known[4])} files) | {warm:.2f} | {warm_spent:.2f} | {warm_peak >> 20} | 2 s, 500 MiB |",
    ]
    yield Section("Scanning for mocks", "\n".join(rows) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=FILES)
    for section in measure(parser.parse_args().files):
        print(section.body)


if __name__ == "__main__":
    main()
