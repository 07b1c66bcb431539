"""A directory of a test's own: what is written is read again, and no name leads out of it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from test_framework.errors import FrameworkError
from test_framework.external.filesystem import CHUNK, FilesystemTestResource, PathRefused


def listing(path: Path) -> list[str]:
    return sorted(each.name for each in path.iterdir())


@pytest.fixture
async def files(tmp_path: Path) -> AsyncIterator[FilesystemTestResource]:
    parent = tmp_path / "parent"
    parent.mkdir()
    async with FilesystemTestResource(parent) as resource:
        yield resource
    assert list(parent.iterdir()) == []


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("not yours")
    return outside


@pytest.mark.parametrize("name", ["a.txt", "deep/er/a.txt", "with space/ä.txt", "./a.txt", "-rf"])
async def test_text_that_is_written_is_read_again(files: FilesystemTestResource, name: str) -> None:
    path = await files.create_file(name, "Grüße\n")
    assert path.is_relative_to(files.path)
    assert path.read_text("utf-8") == "Grüße\n"
    assert await files.read_file(name) == "Grüße\n"


async def test_bytes_stay_as_they_are(files: FilesystemTestResource) -> None:
    every = bytes(range(256))
    await files.create_file("all.bin", every)
    assert await files.read_bytes("all.bin") == every


async def test_a_file_is_replaced_as_a_whole(files: FilesystemTestResource) -> None:
    await files.create_file("a", "a long text")
    await files.create_file("a", "short")
    assert await files.read_file("a") == "short"
    assert await files.list_files() == ["a"]


async def test_a_stream_is_copied_without_being_held_in_memory(files: FilesystemTestResource) -> None:
    held = 0
    highest = 0

    class Piece(bytes):
        def __init__(self, *_: object) -> None:
            nonlocal held, highest
            held += 1
            highest = max(highest, held)

        def __del__(self) -> None:
            nonlocal held
            held -= 1

    async def pieces() -> AsyncIterator[bytes]:
        for number in range(64):
            yield Piece(bytes([number]) * CHUNK)

    path = await files.create_file("large.bin", pieces())
    assert path.stat().st_size == 64 * CHUNK
    assert highest <= 3
    seen = [(len(piece), piece[0]) async for piece in files.stream_file("large.bin")]
    assert seen == [(CHUNK, number) for number in range(64)]


async def test_an_open_file_is_copied(files: FilesystemTestResource, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(os.urandom(3 * CHUNK + 7))
    with source.open("rb") as opened:
        await files.create_file("copy", opened)
    assert await files.read_bytes("copy") == source.read_bytes()


async def test_a_stream_that_fails_leaves_what_was_there(files: FilesystemTestResource) -> None:
    await files.create_file("a", "before")

    async def broken() -> AsyncIterator[bytes]:
        yield b"half"
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        await files.create_file("a", broken())
    assert await files.read_file("a") == "before"
    assert listing(files.path) == ["a"]


async def test_a_cancelled_write_leaves_nothing(files: FilesystemTestResource) -> None:
    begun = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield b"some"
        begun.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(files.create_file("a", endless()))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert listing(files.path) == []


NAMES = ["../a", "a/../../b", "/etc/passwd", "..", ".", "", "a/", "a\0b", "deep/../a"]


@pytest.mark.parametrize("name", NAMES)
async def test_a_name_that_leads_out_or_nowhere_is_refused(files: FilesystemTestResource, name: str) -> None:
    for call in (files.create_file, files.read_file, files.delete_file, files.exists):
        with pytest.raises(PathRefused, match="is refused"):
            await call(name)
    assert listing(files.path) == []


async def test_links_are_refused_wherever_they_are_in_a_name(files: FilesystemTestResource, outside: Path) -> None:
    (files.path / "folder").symlink_to(outside)
    (files.path / "file").symlink_to(outside / "secret")
    (files.path / "new").symlink_to(outside / "made")
    for name in ("folder/secret", "file"):
        with pytest.raises(PathRefused, match="symbolic link"):
            await files.read_file(name)
    for name in ("folder/secret", "folder/made", "file", "new", "folder/deep/made"):
        with pytest.raises(PathRefused, match="symbolic link"):
            await files.create_file(name, "mine")
    assert [path.name for path in outside.iterdir()] == ["secret"]
    assert (outside / "secret").read_text() == "not yours"


async def test_a_link_swapped_in_between_two_looks_leads_nowhere(files: FilesystemTestResource, outside: Path) -> None:
    folder, link = files.path / "folder", files.path / "link"
    folder.mkdir()
    (folder / "secret").write_text("mine")
    link.symlink_to(outside)
    stop = threading.Event()

    def move(source: Path, target: Path) -> None:
        while True:
            try:
                source.rename(target)
                return
            except OSError:  # the writer has made the directory that was missing for a moment
                shutil.rmtree(target, ignore_errors=True)

    def swap() -> None:
        spare = files.path / "spare"
        while not stop.is_set():
            move(folder, spare)
            move(link, folder)
            move(folder, link)
            move(spare, folder)

    thread = threading.Thread(target=swap)
    thread.start()
    seen = set()
    try:
        for number in range(300):
            try:
                seen.add(await files.read_file("folder/secret"))
                await files.create_file(f"folder/{number}", "mine")
            except (PathRefused, OSError):
                seen.add("refused")
    finally:
        stop.set()
        thread.join()
    assert seen <= {"mine", "refused"}
    assert [path.name for path in outside.iterdir()] == ["secret"]


async def test_a_pipe_stops_nobody(files: FilesystemTestResource) -> None:
    os.mkfifo(files.path / "pipe")
    for call in (files.create_file, files.read_file):
        with pytest.raises(PathRefused, match="no plain file"):
            await call("pipe")
    assert not await files.exists("pipe")


async def test_what_is_missing_is_the_usual_error(files: FilesystemTestResource) -> None:
    with pytest.raises(FileNotFoundError):
        await files.read_file("deep/missing")
    assert not await files.exists("deep/missing")
    await files.create_file("a", "x")
    with pytest.raises(NotADirectoryError):
        await files.create_file("a/b", "x")
    await files.create_file("d/b", "x")
    with pytest.raises(IsADirectoryError):
        await files.create_file("d", "x")
    assert await files.list_files() == ["a", "d/b"]
    await files.delete_file("d/b")
    assert await files.list_files() == ["a"]


async def test_everything_is_gone_afterwards_whatever_was_done_to_it(tmp_path: Path, outside: Path) -> None:
    async with FilesystemTestResource(tmp_path) as files:
        path = files.path
        await files.create_file("locked/inner/a", "x")
        (path / "link").symlink_to(outside)
        (path / "locked" / "inner").chmod(0)
        (path / "locked").chmod(0)
    assert not path.exists()
    assert (outside / "secret").exists()
    with pytest.raises(FrameworkError, match="not there"):
        await files.create_file("late", "x")


async def test_what_the_test_removed_itself_is_no_trouble(tmp_path: Path) -> None:
    async with FilesystemTestResource(tmp_path) as files:
        files.path.rmdir()
    files.close()


async def test_a_kept_directory_stays(tmp_path: Path) -> None:
    files = FilesystemTestResource(tmp_path).start()
    path = await files.create_file("a", "x")
    files.close(keep=True)
    assert path.read_text() == "x"


async def test_no_file_descriptor_is_left_open(tmp_path: Path) -> None:
    def count() -> int:
        return len(listing(Path("/dev/fd")))

    async with FilesystemTestResource(tmp_path) as files:
        await files.create_file("deep/a", "x")
        before = count()
        for name in ("deep/a", "deep/missing", "deep/a/b", "../x"):
            for call in (files.read_file, files.create_file, files.exists):
                with contextlib.suppress(FrameworkError, OSError):
                    await call(name)
        assert count() == before
