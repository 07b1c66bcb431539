"""What a statement reaches for: the guards that the embedded engine does not have.

The engine runs with the rights of whoever started it, in a process that others share. So statements that end the
process, or read and write files outside one directory, are found here before they run, by their tokens.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from test_framework.embedded_clickhouse.lexer import (
    HEREDOC,
    PUNCT,
    QUOTED,
    STRING,
    WORD,
    Token,
    identifier_text,
    string_value,
    tokens,
)
from test_framework.embedded_clickhouse.remembering import remembering

__all__ = ["FileAccess", "Refusal", "file_accesses", "forbidden", "mentions_table"]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a statement must not run, in the words and with the code of a server."""

    code: int
    name: str
    message: str


@dataclass(frozen=True, slots=True)
class FileAccess:
    """A place in a statement that names a file of this machine.

    ``path`` is ``None`` where it is an expression, so that nobody knows it before it runs.
    """

    function: str
    path: str | None


#: Functions, table functions and engines, lower case: which argument is the path, of a function and of an ENGINE.
_PATH_ARGUMENT: dict[bytes, tuple[int, int]] = {
    b"file": (0, 1),
    b"filecluster": (1, 1),
    b"filelog": (0, 0),
    b"filesystem": (0, 0),
    b"url": (0, 0),
    b"urlcluster": (1, 1),
    b"sqlite": (0, 0),
    b"deltalake": (0, 0),
    b"deltalakelocal": (0, 0),
    b"hudi": (0, 0),
    b"iceberg": (0, 0),
    b"iceberglocal": (0, 0),
    b"iceberglocalcluster": (1, 1),
    b"paimon": (0, 0),
    b"paimonlocal": (0, 0),
    b"catboostevaluate": (0, 0),
    b"embeddedrocksdb": (1, 1),
}
#: These take the name of a named collection instead of a path.
_COLLECTIONS = {b"url", b"urlcluster", b"deltalake", b"hudi", b"iceberg", b"paimon"}
#: They run programs, or reach into the Python process that hosts the engine.
_PROGRAMS = {b"jdbc", b"odbc", b"python"}
#: They run programs that lie in a directory of their own, which the engine sees to; links and folders are not for it.
_SCRIPTS = {b"executable", b"executablepool", b"executable_pool"}
_SCRIPT = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*(?: |\Z)")
_BEFORE_TABLE = {b"FROM", b"JOIN", b"TABLE", b"INTO", b"DESCRIBE", b"DESC", b","}
_BEFORE_NEW_NAME = {b"TABLE", b"EXISTS", b"INTO", b"VIEW", b"DICTIONARY"}
_NETWORK = re.compile(r"(?!file:)[a-z][a-z0-9+.-]*://", re.IGNORECASE)


class _Tokens:
    """All tokens of a statement, with what the guards ask of them; an index outside is an empty token."""

    def __init__(self, sql: bytes) -> None:
        self.sql = sql
        self._all = list(tokens(sql))

    def __len__(self) -> int:
        return len(self._all)

    def __getitem__(self, index: int) -> Token:
        return self._all[index] if 0 <= index < len(self._all) else (PUNCT, 0, 0)

    def upper(self, index: int) -> bytes:
        """A bare word in upper case, or a sign."""
        kind, start, end = self[index]
        return self.sql[start:end].upper() if kind in (WORD, PUNCT) else b""

    def is_name(self, index: int) -> bool:
        return self[index][0] in (WORD, QUOTED)

    def name(self, index: int) -> bytes:
        return identifier_text(self.sql, self[index])

    def string(self, index: int) -> str | None:
        token = self[index]
        if token[0] in (STRING, HEREDOC):
            return string_value(self.sql, token).decode("utf-8", "surrogateescape")
        return None


def forbidden(sql: bytes, *, files: Path | None = None) -> Refusal | None:
    """Why ``sql`` must not run; ``None`` when it may.

    Args:
        sql: the statement, or the head of an INSERT; never its data.
        files: the directory in which file functions may work; ``None`` for nowhere. Relative paths are taken from it.
    """
    refusal, accesses = _looked_at(sql)
    if refusal:
        return refusal
    for access in accesses:
        if not _allowed(access, files):
            return _outside(access, files)
    return None


@remembering
def _looked_at(sql: bytes) -> tuple[Refusal | None, tuple[FileAccess, ...]]:
    """What the text alone tells; whether a path is allowed depends on links, which may change."""
    found = _Tokens(sql)
    for index in range(len(found)):
        refusal = _statement_refusal(found.upper(index), found.upper(index + 1)) or _program_refusal(found, index)
        if refusal:
            return refusal, ()
    return None, tuple(_accesses(found))


def _statement_refusal(word: bytes, following: bytes) -> Refusal | None:
    if word == b"SYSTEM" and following in (b"SHUTDOWN", b"KILL"):
        command = following.decode()
        return Refusal(497, "ACCESS_DENIED", f"SYSTEM {command} would end the process that hosts the embedded engine")
    if word == b"INTO" and following == b"OUTFILE":
        return Refusal(358, "INTO_OUTFILE_NOT_ALLOWED", "INTO OUTFILE is not allowed")
    if word == b"FROM" and following == b"INFILE":
        return Refusal(78, "UNKNOWN_TYPE_OF_QUERY", "Query has infile and was send directly to server")
    return None


def _program_refusal(found: _Tokens, index: int) -> Refusal | None:
    if not _is_call(found, index):
        return None
    called = found.name(index).lower()
    if called in _SCRIPTS:
        return _script_refusal(found, index)
    if called not in _PROGRAMS:
        return None
    name = found.name(index).decode("ascii", "replace")
    return Refusal(497, "ACCESS_DENIED", f"{name} would run a program beside the embedded engine; it is not allowed")


def _script_refusal(found: _Tokens, index: int) -> Refusal | None:
    """``executable('name arguments', …)``; as the source of a dictionary it would be a command line of the shell."""
    if (found.upper(index - 2), found.upper(index - 1)) == (b"SOURCE", b"("):
        message = "Dictionaries with executable dictionary source are not allowed to be created from DDL query"
        return Refusal(482, "DICTIONARY_ACCESS_DENIED", message)
    command = found.string(index + 2)
    if command is None or found.upper(index + 3) not in (b",", b")"):
        return Refusal(497, "ACCESS_DENIED", "The script given to executable must be a literal")
    if not _SCRIPT.match(command):
        script = command.partition(" ")[0]
        return Refusal(1, "UNSUPPORTED_METHOD", f"Executable file {script} must be inside user scripts folder")
    return None


def _is_call(found: _Tokens, index: int) -> bool:
    """Whether a name here is called: a bracket follows, and it is not the column list of a table so named."""
    if not found.is_name(index) or found.upper(index + 1) != b"(" or found.upper(index - 1) == b".":
        return False
    creates = found.upper(0) in (b"CREATE", b"ATTACH", b"REPLACE", b"INSERT", b"WITH")
    return not (creates and found.upper(index - 1) in _BEFORE_NEW_NAME)


def _allowed(access: FileAccess, files: Path | None) -> bool:
    if access.path is None:
        return False
    if _NETWORK.match(access.path):
        return True
    path = re.sub(r"(?i)\Afile:(//)?", "", access.path)
    # Braces and commas are patterns of the engine, which could put two dots together.
    if files is None or "\0" in path or ".." in re.sub(r"[{},]", "", path):
        return False
    root = os.path.realpath(files)
    plain = re.split(r"[*?{\[]| :: ", path, maxsplit=1)[0]
    target = os.path.realpath(os.path.join(root, plain))  # noqa: PTH118 - Path would drop the slash of a cut pattern
    return target == root or target.startswith(root + os.sep)


def _outside(access: FileAccess, files: Path | None) -> Refusal:
    if access.path is None:
        return Refusal(497, "ACCESS_DENIED", f"The path given to {access.function} must be a literal")
    return Refusal(291, "DATABASE_ACCESS_DENIED", f"File `{access.path}` is not inside `{files or ''}`")


def file_accesses(sql: bytes) -> Iterator[FileAccess]:
    """Every place in ``sql`` that names a file or URL: ``file(…)``, ``ENGINE = File(…)``, ``FROM '/path'`` …"""
    return _accesses(_Tokens(sql))


def _accesses(found: _Tokens) -> Iterator[FileAccess]:
    for index in range(len(found)):
        kind = found[index][0]
        if kind in (STRING, QUOTED) and found.upper(index - 1) in _BEFORE_TABLE and found.upper(index + 1) != b"(":
            text = found.string(index) if kind == STRING else found.name(index).decode("utf-8", "surrogateescape")
            # The default database of the engine takes names of files for tables.
            if text and "/" in text and _can_be_table(found, index):
                yield FileAccess("table", text)
        elif kind in (WORD, QUOTED) and _is_call(found, index):
            yield from _call(found, index)


def _can_be_table(found: _Tokens, index: int) -> bool:
    """Whether the quoted text here stands for a table: after a comma only in FROM a, b, which no literal does."""
    return found.upper(index - 1) != b"," or found[index][0] == QUOTED


def _call(found: _Tokens, index: int) -> Iterator[FileAccess]:
    name = found.name(index)
    places = _PATH_ARGUMENT.get(name.lower())
    if places is None or (found.upper(index - 2), found.upper(index - 1)) == (b"SOURCE", b"("):
        return  # the engine confines dictionary sources by itself
    place = places[_is_engine(found, index)]
    at = index + 2
    for _ in range(place):
        if found.upper(at) == b")":
            return  # no path given: the engine chooses one in its data directory
        if found.upper(at + 1) == b")":
            return
        at += 2
    shown = name.decode("utf-8", "replace")
    alone = found.upper(at + 1) in (b",", b")") and found.upper(at - 1) in (b",", b"(")
    if alone and found.string(at) is not None:
        yield FileAccess(shown, found.string(at))
    elif not (alone and found[at][0] == WORD and name.lower() in _COLLECTIONS):
        yield FileAccess(shown, None)


def _is_engine(found: _Tokens, index: int) -> bool:
    return found.upper(index - 1) == b"ENGINE" or (found.upper(index - 2), found.upper(index - 1)) == (b"ENGINE", b"=")


@remembering
def mentions_table(sql: bytes, database: str, table: str) -> bool:
    """Whether ``database.table`` stands in ``sql`` outside strings and comments."""
    if table.encode() not in sql:
        return False
    found = _Tokens(sql)
    dots = (i for i in range(len(found)) if found.upper(i) == b"." and found.is_name(i - 1) and found.is_name(i + 1))
    return any((found.name(i - 1), found.name(i + 1)) == (database.encode(), table.encode()) for i in dots)
