"""What a statement's text says about transactions: enough to keep a test inside the one that is rolled back."""

from __future__ import annotations

import re
from enum import Enum
from pathlib import Path

from test_framework.errors import SeedError
from test_framework.services.postgres.statements import statements

__all__ = [
    "MARKER",
    "Kind",
    "changes_schema",
    "is_read_only",
    "isolation_level",
    "kind_of",
    "local_settings",
    "split",
]

MARKER = '@pytest.mark.postgres_isolation("database")'

_GAP = r"(?:\s|--[^\n]*(?:\n|$)|/\*.*?\*/)*"
_CONTROL = re.compile(
    rf"{_GAP}(?:(?P<begin>begin|start{_GAP}transaction)|(?P<prepare>prepare{_GAP}transaction|commit{_GAP}prepared"
    rf"|rollback{_GAP}prepared)|(?P<commit>commit|end)|(?P<to>(?:rollback|abort)(?:{_GAP}(?:work|transaction))?{_GAP}to\b)"
    rf"|(?P<rollback>rollback|abort)|(?P<savepoint>savepoint|release)|(?P<notify>notify)"
    rf"|(?P<listen>listen|unlisten)|(?P<session>prepare|deallocate|discard|load))\b",
    re.IGNORECASE | re.DOTALL,
)
_PG_NOTIFY = re.compile(rf"{_GAP}select{_GAP}(?:pg_catalog\.)?pg_notify\s*\(", re.IGNORECASE | re.DOTALL)
# Words that make it worth looking closer at a script of several statements.
_SUSPECT = re.compile(
    r"\b(?:begin|start|commit|end|rollback|abort|savepoint|release|prepare|set\s+local)\b", re.IGNORECASE
)
_SCHEMA = re.compile(r"\b(?:create|alter|drop|import|do|call)\b", re.IGNORECASE)
_LOCAL = re.compile(
    rf"{_GAP}set{_GAP}local{_GAP}(?:(?P<zone>time{_GAP}zone)|(?P<name>[\w.]+|\"(?:[^\"]|\"\")+\"))",
    re.IGNORECASE | re.DOTALL,
)
_SET_CONFIG = re.compile(r"\bset_config\s*\(\s*'([^']+)'\s*,[^()]*,\s*(?:true|'t'|'true')", re.IGNORECASE)
_LEVEL = re.compile(
    rf"isolation{_GAP}level{_GAP}(?P<level>serializable|repeatable{_GAP}read)", re.IGNORECASE | re.DOTALL
)
_READ_ONLY = re.compile(rf"read{_GAP}only", re.IGNORECASE | re.DOTALL)


class Kind(Enum):
    """What to do with a statement."""

    PLAIN = "plain"
    BEGIN = "begin"
    COMMIT = "commit"
    ROLLBACK = "rollback"
    SAVEPOINT = "savepoint"  # also RELEASE and ROLLBACK TO
    PREPARE = "prepare"  # two-phase commit
    NOTIFY = "notify"
    LISTEN = "listen"
    SESSION = "session"  # leaves something in the session that no rollback removes


_KINDS = {
    "begin": Kind.BEGIN,
    "prepare": Kind.PREPARE,
    "commit": Kind.COMMIT,
    "to": Kind.SAVEPOINT,
    "rollback": Kind.ROLLBACK,
    "savepoint": Kind.SAVEPOINT,
    "notify": Kind.NOTIFY,
    "listen": Kind.LISTEN,
    "session": Kind.SESSION,
}


def kind_of(query: str) -> Kind:
    """The kind of one statement, by its first words."""
    found = _CONTROL.match(query)
    if found is not None and found.lastgroup is not None:
        return _KINDS[found.lastgroup]
    return Kind.NOTIFY if _PG_NOTIFY.match(query) else Kind.PLAIN


def split(query: str) -> list[str]:
    """The statements of a script if some of them are about transactions, else the script as it is."""
    if ";" not in query.rstrip().rstrip(";") or not _SUSPECT.search(query):
        return [query]
    try:
        return [each.text for each in statements(query, Path("script"))]
    except SeedError:
        return [query]  # the server knows better what is wrong with it


def changes_schema(query: str) -> bool:
    """Whether plans and types that were remembered may be wrong after this and its rollback. Errs towards yes."""
    return _SCHEMA.search(query) is not None


def local_settings(query: str) -> list[str]:
    """The names of the settings that ``query`` sets until the end of a transaction."""
    found = _LOCAL.match(query)
    if found is None:
        return _SET_CONFIG.findall(query)
    if found["zone"]:
        return ["TimeZone"]
    name = str(found["name"])
    if name.startswith('"'):
        return [name[1:-1].replace('""', '"')]
    if name.lower() in ("session", "transaction"):
        return []
    return [{"schema": "search_path", "names": "client_encoding"}.get(name.lower(), name)]


def isolation_level(query: str) -> str | None:
    """The level that a ``BEGIN`` asks for, if it is another one than the usual."""
    found = _LEVEL.search(query)
    return " ".join(found["level"].lower().split()).replace(" ", "_") if found else None


def is_read_only(query: str) -> bool:
    """Whether a ``BEGIN`` asks for a transaction that cannot write."""
    return _READ_ONLY.search(query) is not None
