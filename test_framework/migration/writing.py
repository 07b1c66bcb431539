"""Files are replaced whole or not at all."""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

from test_framework.errors import SettingsError

__all__ = ["replace_file"]


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
