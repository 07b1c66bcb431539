"""Engine errors: code, HTTP status, and the text a server sends.

The engine says ``Code: 60. DB::Exception: … (UNKNOWN_TABLE)`` in a RuntimeError; a server sends the same text with the
version behind it, and an HTTP status that depends on the code.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from test_framework.embedded_clickhouse.rewrite import without_client

__all__ = ["ENGINE_ERRORS", "READONLY", "SYNTAX_ERROR", "ClickHouseError", "http_status", "translate"]

READONLY, SYNTAX_ERROR = 164, 62

_TEXT = re.compile(r"Code: (\d+)\. DB::Exception: (.*)", re.DOTALL)
_NAME = re.compile(r"\(([A-Z][A-Z0-9_]+)\)\s*\Z")
_NESTED = re.compile(r"\A(?:Code: \d+\. DB::Exception: )+")
_VERSION = re.compile(r"\s*\(version [^)]*(?:\([^)]*\))?[^)]*\)\.?\s*\Z")

_CODES = {
    400: (6, 8, 15, 25, 26, 27, 36, 37, 38, 41, 44, 53, 62, 72, 117, 123, 167, 168, 223, 321, 376, 427, 441, 675, 676),
    401: (194,),
    403: (192, 193, 497, 512, 516),
    404: (46, 47, 50, 56, 60, 63, 73, 78, 81, 115, 152, 336, 511),
    408: (159,),
    411: (381,),
    413: (229,),
    415: (779,),
    501: (48,),
    503: (76, 209, 439),
}
#: The names of those that quote the client's text: a NUL in it cuts off the end of the message, where the name stands.
_NAMES = {SYNTAX_ERROR: "SYNTAX_ERROR", 60: "UNKNOWN_TABLE", 47: "UNKNOWN_IDENTIFIER", 46: "UNKNOWN_FUNCTION"}
#: What the endpoint itself puts into a SELECT; error texts quote statements.
_OWN_CLAUSE = re.compile(r"\s?INTO OUTFILE '[^']*/spool/result-\d+' APPEND(?:\nFORMAT \w+)?")
_STATUS = {code: status for status, codes in _CODES.items() for code in codes}


def http_status(code: int) -> int:
    """The status a server answers an error of this code with."""
    return _STATUS.get(code, 500)


@dataclass(slots=True)
class ClickHouseError(Exception):
    """An error as a client sees it.

    Attributes:
        code: ClickHouse error code.
        name: its name, ``UNKNOWN_TABLE``.
        message: the text between them.
        status: HTTP status, 0 for the one that belongs to the code.
        format: of the document in which the client wants it, where that has a place for it.
    """

    code: int
    name: str
    message: str
    status: int = 0
    format: str = ""

    def __str__(self) -> str:
        return f"Code: {self.code}. DB::Exception: {self.message}. ({self.name})".replace("..", ".")

    @property
    def http(self) -> int:
        """The HTTP status of the answer."""
        return self.status or http_status(self.code)

    def text(self, version: str) -> str:
        """The body of a server's answer."""
        message = self.message if self.message.endswith((".", "?", "!", ". ", "\n")) else f"{self.message}."
        return f"Code: {self.code}. DB::Exception: {message} ({self.name}) (version {version} (embedded engine))\n"


#: What the engine raises. A message that quotes SQL which is not UTF-8 comes as the failure to decode it.
ENGINE_ERRORS = (RuntimeError, UnicodeDecodeError)


def translate(error: Exception) -> ClickHouseError:
    """Read one of ``ENGINE_ERRORS``."""
    text = str(error)
    if isinstance(error, UnicodeDecodeError):
        text = error.object.decode("utf-8", "surrogateescape")
    text = without_client(_OWN_CLAUSE.sub("", text))
    found = _TEXT.search(text)
    if not found:
        return ClickHouseError(1002, "UNKNOWN_EXCEPTION", text)
    code, rest = int(found.group(1)), found.group(2)
    # Some errors pass through the engine twice and come back with the prefix and the suffix repeated.
    name = ""
    while True:
        rest = _VERSION.sub("", rest)
        suffix = _NAME.search(rest)
        if not suffix:
            break
        name = suffix.group(1)
        rest = rest[: suffix.start()].rstrip()
    return ClickHouseError(code, name or _NAMES.get(code, "UNKNOWN_EXCEPTION"), _NESTED.sub("", rest))
