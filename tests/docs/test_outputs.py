"""What a page shows of a command's output is what the command prints."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.markdown import Block, Page, guides

SHOWN = [(page, block) for page in guides() for block in page.blocks() if block.kind == "output"]


@pytest.mark.parametrize(("page", "block"), SHOWN, ids=lambda each: getattr(each, "place", ""))
def test_the_output_is_what_the_command_prints_today(page: Page, block: Block, tmp_path: Path) -> None:
    for each in page.blocks():
        if each.kind == "file":
            tmp_path.joinpath(each.value).write_text(each.text)
    program, *arguments = shlex.split(block.value)
    assert program == "test-framework"
    done = subprocess.run(
        [sys.executable, "-P", "-m", "test_framework", *arguments, "--no-cache"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, block.text), done.stderr


def test_the_guides_show_at_least_one_output() -> None:
    assert SHOWN
