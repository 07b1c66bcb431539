"""Headers of an answer that the request's settings decide: its time zone, and headers of the client's own."""

from __future__ import annotations

import re
from collections.abc import Mapping

from test_framework.embedded_clickhouse.assignments import assigned
from test_framework.embedded_clickhouse.errors import ClickHouseError
from test_framework.embedded_clickhouse.lexer import PUNCT, STRING, string_value, tokens

__all__ = ["asked_headers"]

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*\Z")


def asked_headers(sql: bytes, settings: Mapping[str, str], *, timezone: str) -> dict[str, str]:
    """The headers that differ from those of every answer.

    Args:
        sql: the statement; its SETTINGS win.
        settings: those of the request.
        timezone: the session's own, or empty.

    Raises:
        ClickHouseError: BAD_ARGUMENTS for what cannot be a header.
    """
    zone = assigned(sql, b"session_timezone") or settings.get("session_timezone") or timezone
    asked = assigned(sql, b"http_response_headers") or settings.get("http_response_headers", "")
    headers = _pairs(asked.encode("utf-8", "surrogateescape")) if asked else {}
    for name, value in headers.items():
        if not (_NAME.match(name) and _VALUE.match(value)):
            raise ClickHouseError(
                36, "BAD_ARGUMENTS", f"Invalid HTTP response header: {name!r} with the value {value!r}"
            )
    return {"X-ClickHouse-Timezone": zone, **headers} if zone else headers


def _pairs(text: bytes) -> dict[str, str]:
    """The pairs of ``{'name': 'value', …}``; none where it is something else, which the engine refuses itself."""
    found = list(tokens(text))
    signs = b"".join(
        text[start:end] if kind == PUNCT else b"s" if kind == STRING else b"?" for kind, start, end in found
    )
    if not re.fullmatch(rb"\{(?:s:s(?:,s:s)*)?\}", signs):
        return {}
    strings = [string_value(text, token).decode("utf-8", "surrogateescape") for token in found if token[0] == STRING]
    names = ("Content-Type" if name.lower() == "content-type" else name for name in strings[::2])
    return dict(zip(names, strings[1::2], strict=True))
