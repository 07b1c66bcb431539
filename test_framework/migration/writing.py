"""Files are replaced whole or not at all, and keep mode, owner, encoding and line ends."""

from __future__ import annotations

import io
import os
import secrets
import stat
import tokenize
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from test_framework.errors import FrameworkError, SettingsError

__all__ = ["Source", "read_source", "replace_all", "replace_file"]


@dataclass(frozen=True, slots=True)
class Source:
    """A Python file as it was read: ``text`` has the line ends of the file and no byte order mark."""

    path: Path
    data: bytes
    text: str
    encoding: str

    def encoded(self, text: str) -> bytes:
        """``text`` as this file would hold it. Raises UnicodeEncodeError for what its encoding lacks."""
        return text.encode(self.encoding)


def read_source(path: Path) -> Source:
    """Read a Python file in the encoding that it declares.

    Raises OSError, SyntaxError for an unknown encoding, and UnicodeError for bytes that are not of it.
    """
    data = path.read_bytes()
    encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
    return Source(path, data, data.decode(encoding), encoding)


def replace_all(changes: Iterable[tuple[Source, str]]) -> None:
    """Write new texts, all or none: what was written is put back when a later one fails or on Ctrl-C.

    Raises SettingsError when a file cannot be written, or is no longer what was read.
    """
    written: list[Source] = []
    try:
        for source, text in changes:
            if source.path.read_bytes() != source.data:
                raise SettingsError(f"{source.path} was changed meanwhile", fix="run the command again")
            written.append(source)
            replace_file(source.path, source.encoded(text))
    except BaseException as error:
        lost = [source.path for source in reversed(written) if not _put_back(source)]
        if lost and isinstance(error, FrameworkError):
            error.fix = f"these stay rewritten, take them from version control: {', '.join(map(str, lost))}"
        raise


def _put_back(source: Source) -> bool:
    try:
        if source.path.read_bytes() != source.data:
            replace_file(source.path, source.data)
    except (OSError, SettingsError):
        return False
    return True


def replace_file(path: Path, data: bytes) -> None:
    """Put ``data`` in the place of ``path`` in one step; mode and owner stay, a link keeps pointing at the file.

    A device or a pipe (``/dev/stdout``) is written to. Raises SettingsError when it cannot be done.
    """
    try:
        before = path.stat() if path.exists() else None
        if before is not None and not stat.S_ISREG(before.st_mode):
            path.write_bytes(data)
            return
        _write_and_rename(Path(os.path.realpath(path)), data, before)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise SettingsError(f"cannot write {path}", cause=error.strerror or str(error)) from error


def _write_and_rename(target: Path, data: bytes, before: os.stat_result | None) -> None:
    beside = target.with_name(f".{secrets.token_hex(8)}.tmp")
    # The mode is the umask's business for a new file, as with any program that creates one.
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            if before is not None:
                with suppress(PermissionError):
                    os.fchown(stream.fileno(), before.st_uid, before.st_gid)
                os.fchmod(stream.fileno(), stat.S_IMODE(before.st_mode))
        beside.replace(target)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
