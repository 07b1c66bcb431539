"""Errors as clients get them: as answers, behind what was sent already, and inside of documents with a place for them.

The last is what the setting ``http_write_exception_in_output_format`` asks for.
"""

from __future__ import annotations

import json
from xml.sax.saxutils import escape

from aiohttp import web

from test_framework.embedded_clickhouse.errors import ClickHouseError
from test_framework.embedded_clickhouse.reply_headers import ReplyHeaders, content_type

__all__ = ["error_document", "error_reply", "error_row", "tagged"]

_DOCUMENTS = frozenset(["json", "jsoncompact", "jsonstrings", "jsoncompactstrings", "jsoncolumnswithmetadata"])
_ROWS = frozenset(
    [
        *("jsoneachrow", "jsonlines", "ndjson", "jsonstringseachrow"),
        *("jsoneachrowwithprogress", "jsonstringseachrowwithprogress"),
    ]
)


def error_row(format: str, text: str) -> bytes | None:
    """The error as a further row, with its line end; ``None`` for a format without such a row."""
    name = format.lower()
    if name in _ROWS:
        return _bytes(f'{{"exception": {_quoted(text)}}}\n')
    if name.startswith(("jsoncompacteachrow", "jsoncompactstringseachrow")):
        return _bytes(f"[{_quoted(text)}]\n")
    return None


def error_document(format: str, text: str) -> bytes | None:
    """A document that holds the error alone; ``None`` for a format without a place for it."""
    name = format.lower()
    exception = f'\t"exception": {_quoted(text)}\n}}\n'
    if name in _DOCUMENTS:
        empty = "\n\t[\n\n\t],\n\n"
        return _bytes(f'{{\n\t"meta":{empty}\t"data":{empty}\t"rows": 0,\n\n{exception}')
    if name == "jsonobjecteachrow":
        return _bytes(f"{{\n{exception}")
    if name == "xml":
        head = "<?xml version='1.0' encoding='UTF-8' ?>\n<result>\n\t<data>\n\t</data>\n\t<rows>0</rows>\n"
        return _bytes(f"{head}\t<exception>{escape(text)}</exception>\n</result>\n")
    return error_row(format, text)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def error_reply(error: ClickHouseError, headers: ReplyHeaders, query_id: str) -> web.Response:
    """A clean error: nothing of the result has been sent."""
    extra = {"X-ClickHouse-Exception-Code": str(error.code)}
    if error.code == 516 or error.code == 194:
        extra["WWW-Authenticate"] = 'Basic realm="ClickHouse server HTTP API"'
    text = error.text(headers.version)
    document = error_document(error.format, text.rstrip("\n")) if error.format else None
    extra["Content-Type"] = content_type(error.format if document else "")
    return web.Response(
        status=error.http,
        body=document or text.encode("utf-8", "surrogateescape"),
        headers={**headers.common(query_id), **extra},
    )


def tagged(text: str, tag: str) -> bytes:
    """The error behind a body that had begun, between marks that no body holds by chance."""
    message = text.encode("utf-8", "surrogateescape")
    head = f"\r\n__exception__\r\n{tag}\r\n".encode()
    return head + message + f"{len(message)} {tag}\r\n__exception__\r\n".encode()
