"""One holder at a time, the kernel frees a dead one's lock, and those who wait know for whom."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from test_framework.errors import StackBusy
from test_framework.stack.lock import StackLock

HOLDER = """
import asyncio, pathlib, sys
from test_framework.stack.lock import StackLock
async def main():
    async with StackLock(pathlib.Path(sys.argv[1]), "holding", 5, print):
        print("held", flush=True)
        sys.stdin.read()
asyncio.run(main())
"""


def lock(directory: Path, timeout: float = 30.0, said: list[str] | None = None) -> StackLock:
    return StackLock(directory, "test", timeout, said.append if said is not None else lambda _: None)


def holder(directory: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, directory], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


async def test_who_waits_is_told_for_whom_and_gives_up_in_time(tmp_path: Path) -> None:
    said: list[str] = []
    with holder(tmp_path) as process:
        with pytest.raises(StackBusy) as caught:
            async with lock(tmp_path, 0.2, said):
                pass
        process.kill()
    assert f"in use by pid {process.pid} (holding)" in caught.value.what
    assert said[0].startswith(f"waiting for pid {process.pid} (holding)")


async def test_a_killed_holder_holds_no_longer(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        process.kill()
        async with lock(tmp_path):
            assert (tmp_path / "lock").read_text() == f"pid {os.getpid()} (test)"


async def test_only_one_of_many_is_inside(tmp_path: Path) -> None:
    inside, most = 0, 0

    async def enter() -> None:
        nonlocal inside, most
        async with lock(tmp_path / "new"):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0.01)
            inside -= 1

    await asyncio.gather(*(enter() for _ in range(8)))
    assert most == 1


async def test_who_waited_for_a_lock_that_was_forgotten_gets_a_new_one(tmp_path: Path) -> None:
    """ "down" removes the file while another command waits on it: that one must not hold a lock nobody else sees."""
    directory = tmp_path / "stack"
    first, second, third = lock(directory), lock(directory), lock(directory, 0.1)
    await first.__aenter__()
    waiting = asyncio.create_task(second.__aenter__())
    await asyncio.sleep(0.1)
    first.forget()
    await first.__aexit__(None, None, None)
    await waiting
    with pytest.raises(StackBusy):
        await third.__aenter__()
    await second.__aexit__(None, None, None)


async def test_forgetting_leaves_nothing_but_what_others_put_there(tmp_path: Path) -> None:
    async with lock(tmp_path / "a") as held:
        held.forget()
    assert list(tmp_path.iterdir()) == []
    async with lock(tmp_path / "b") as held:
        (tmp_path / "b" / "other").touch()
        held.forget()
    assert [path.name for path in (tmp_path / "b").iterdir()] == ["other"]
