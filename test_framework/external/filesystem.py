"""Files: a directory of a test's own, and no way out of it.

A name is followed one directory at a time, each opened relative to the one before and never through a symbolic link.
So a link, or one that is put in place of a directory at the last moment, leads nowhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import AsyncIterable, AsyncIterator, Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import anyio

from test_framework.errors import FrameworkError

__all__ = ["CHUNK", "FilesystemTestResource", "PathRefused"]

# pytest shows the user's line, not ours; --full-trace shows all.
__tracebackhide__ = True

CHUNK = 1024 * 1024
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Without O_NONBLOCK a named pipe would stop whoever opens it.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

Content = str | bytes | bytearray | memoryview | BinaryIO | AsyncIterable[bytes]


class PathRefused(FrameworkError):
    """A name leads out of the test's directory, or to something that is no plain file."""


class FilesystemTestResource:
    """A directory that is made at :meth:`start` and gone after :meth:`close`.

    Names are relative to it, with ``/`` between their parts. Missing directories of a name are made.

    Args:
        parent: where the directory is made; ``None``: the system's place for temporary files.
        name: what the directory's name begins with.
    """

    __test__ = False  # not a test class, whatever its name looks like

    def __init__(self, parent: Path | None = None, *, name: str = "test-files") -> None:
        self._parent = parent
        self._name = name
        self._path: Path | None = None
        self._root = -1

    @property
    def path(self) -> Path:
        """The directory, for code under test that opens files by itself."""
        if self._path is None:
            raise FrameworkError(
                "the directory of this test is not there", cause="it was not started, or the test has ended"
            )
        return self._path

    def start(self) -> Self:
        """Make the directory."""
        if self._path is None:
            made = Path(tempfile.mkdtemp(prefix=f"{self._name}-", dir=self._parent)).resolve()
            self._root = os.open(made, _DIRECTORY)
            self._path = made
        return self

    def close(self, *, keep: bool = False) -> None:
        """Delete the directory with all that is in it, unless ``keep``. Harmless twice."""
        path, self._path = self._path, None
        if path is None:
            return
        os.close(self._root)
        if not keep:
            _remove(path)

    async def __aenter__(self) -> Self:
        return self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()  # not in a thread: it must be done even when the test is being cancelled

    async def create_file(self, name: str, content: Content = "", *, encoding: str = "utf-8") -> Path:
        """Write ``content`` to ``name`` and return the path. What was there before is replaced in one step.

        Args:
            content: text, bytes, an open binary file, or an asynchronous iterable of bytes; the last two are copied
                piece by piece, whatever their size. When they fail nothing is written.

        Raises:
            PathRefused: the name leads out of the directory.
        """
        parts = _parts(name)
        with self._enter(parts, make=True) as folder:
            folder.check_free(parts[-1], name)
            with folder.replacement(parts[-1]) as raw:
                async with anyio.wrap_file(raw) as file:
                    async for piece in _pieces(content, encoding):
                        await file.write(piece)
        return self.path.joinpath(*parts)

    async def read_file(self, name: str, *, encoding: str = "utf-8") -> str:
        """The text of ``name``.

        Raises:
            FileNotFoundError: it is not there.
            PathRefused: the name leads out of the directory.
        """
        return (await self.read_bytes(name)).decode(encoding)

    async def read_bytes(self, name: str) -> bytes:
        """The bytes of ``name``. Errors are those of :meth:`read_file`."""
        return b"".join([piece async for piece in self.stream_file(name)])

    async def stream_file(self, name: str, *, chunk_size: int = CHUNK) -> AsyncIterator[bytes]:
        """The bytes of ``name`` in pieces of at most ``chunk_size``. Errors are those of :meth:`read_file`."""
        parts = _parts(name)
        with self._enter(parts, make=False) as folder:
            raw = folder.open_plain(parts[-1], name)
        async with anyio.wrap_file(raw) as file:
            while piece := await file.read(chunk_size):
                yield piece

    async def delete_file(self, name: str) -> None:
        """Delete ``name``; a symbolic link itself, not what it leads to. Errors are those of :meth:`read_file`."""
        parts = _parts(name)
        with self._enter(parts, make=False) as folder:
            os.unlink(parts[-1], dir_fd=folder.fd)

    async def exists(self, name: str) -> bool:
        """Whether there is a plain file of that name.

        Raises:
            PathRefused: the name leads out of the directory.
        """
        parts = _parts(name)
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), self._enter(parts, make=False) as folder:
            return stat.S_ISREG(os.stat(parts[-1], dir_fd=folder.fd, follow_symlinks=False).st_mode)
        return False

    async def list_files(self) -> list[str]:
        """Names of all plain files, sorted. Directories behind symbolic links are not entered."""

        def work() -> list[str]:
            found = []
            for folder, _, files in os.walk(self.path):
                plain = [Path(folder, each) for each in files if not Path(folder, each).is_symlink()]
                found += [each.relative_to(self.path).as_posix() for each in plain]
            return sorted(found)

        return await asyncio.to_thread(work)

    def _enter(self, parts: tuple[str, ...], *, make: bool) -> _Folder:
        """The directory that holds the last of ``parts``. Not in a thread: cancelled, it would leak."""
        _ = self.path  # or it is not there
        fd = os.dup(self._root)
        for depth, part in enumerate(parts[:-1], 1):
            if make:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(part, dir_fd=fd)
            try:
                below = os.open(part, _DIRECTORY, dir_fd=fd)
            except OSError as error:
                if _is_link(part, fd):
                    raise _refused("/".join(parts), f"{'/'.join(parts[:depth])} is a symbolic link") from error
                raise
            finally:
                os.close(fd)
            fd = below
        return _Folder(fd)


class _Folder:
    """An open directory; everything is done relative to it."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)

    def check_free(self, part: str, name: str) -> None:
        """Something that is no plain file would be replaced, and nobody means that."""
        with contextlib.suppress(FileNotFoundError):
            _check_plain(os.stat(part, dir_fd=self.fd, follow_symlinks=False), name)

    def open_plain(self, part: str, name: str) -> BinaryIO:
        try:
            fd = os.open(part, _READ, dir_fd=self.fd)
        except OSError as error:
            if _is_link(part, self.fd):
                raise _refused(name, "it is a symbolic link") from error
            raise
        try:
            _check_plain(os.fstat(fd), name)
        except BaseException:
            os.close(fd)
            raise
        return os.fdopen(fd, "rb")

    @contextlib.contextmanager
    def replacement(self, part: str) -> Iterator[BinaryIO]:
        """A new file that takes the place of ``part`` when the block ends well; a link there is not followed."""
        new = f".{secrets.token_hex(8)}.part"
        with os.fdopen(os.open(new, _NEW, 0o666, dir_fd=self.fd), "wb") as raw:
            try:
                yield raw
                raw.close()
                os.replace(new, part, src_dir_fd=self.fd, dst_dir_fd=self.fd)
            except BaseException:
                os.unlink(new, dir_fd=self.fd)
                raise


def _parts(name: str) -> tuple[str, ...]:
    """The parts of a name that stays inside."""
    if not isinstance(name, str | os.PathLike):
        raise _refused(repr(name), "it is no text")
    text = os.fspath(name)
    if text.startswith("/") or Path(text).is_absolute():
        raise _refused(text, "it is absolute")
    if "\0" in text:
        raise _refused(repr(text), "it has a NUL in it")
    parts = tuple(part for part in text.split("/") if part not in ("", "."))
    if ".." in parts:
        raise _refused(text, "it goes up by '..'")
    if not parts or text.endswith("/"):
        raise _refused(repr(text), "it names no file")
    return parts


def _refused(name: str, cause: str) -> PathRefused:
    return PathRefused(
        f"the name {name} is refused",
        cause=cause,
        fix="name a plain file inside of the test's directory, for example 'reports/day.csv'",
    )


def _check_plain(found: os.stat_result, name: str) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(21, "Is a directory", name)
    if stat.S_ISLNK(found.st_mode):
        raise _refused(name, "it is a symbolic link")
    if not stat.S_ISREG(found.st_mode):
        raise _refused(name, "it is no plain file")


def _is_link(part: str, fd: int) -> bool:
    try:
        return stat.S_ISLNK(os.stat(part, dir_fd=fd, follow_symlinks=False).st_mode)
    except OSError:
        return False


async def _pieces(content: Content, encoding: str) -> AsyncIterator[bytes | bytearray | memoryview]:
    if isinstance(content, str):
        yield content.encode(encoding)
    elif isinstance(content, bytes | bytearray | memoryview):
        yield content
    elif isinstance(content, AsyncIterable):
        async for piece in content:
            yield piece
    else:
        while piece := await asyncio.to_thread(content.read, CHUNK):
            yield piece


def _remove(path: Path) -> None:
    """Whatever permissions the test took away inside."""
    try:
        shutil.rmtree(path)
    except FileNotFoundError:
        return
    except OSError:
        for folder, _, _ in os.walk(path):
            Path(folder).chmod(0o700)
            # os.walk lists a directory after yielding its parent, so what was opened up here is seen.
        shutil.rmtree(path)
