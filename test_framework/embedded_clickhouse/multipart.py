"""Multipart bodies: parameters, settings and the statement as fields, external tables as files."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import BodyPartReader, web

from test_framework.embedded_clickhouse.engine import Connection
from test_framework.embedded_clickhouse.errors import ClickHouseError
from test_framework.embedded_clickhouse.request import QueryRequest, add_argument
from test_framework.embedded_clickhouse.settings import quote_identifier

__all__ = ["ExternalTable", "read_multipart"]


@dataclass(frozen=True, slots=True)
class ExternalTable:
    """Data that came with a query, to be seen by it as a temporary table."""

    name: str
    structure: str
    format: str
    data: bytes

    def create(self, connection: Connection) -> None:
        """Make the temporary table on the query's connection. Errors are the engine's."""
        name = quote_identifier(self.name)
        connection.query(f"CREATE TEMPORARY TABLE {name} ({self.structure}) ENGINE = Memory")
        handle = connection.send_insert(f"INSERT INTO {name}", self.format)
        try:
            # The reader of One ends without data, and data after a reader's end brings the whole engine down.
            if self.format.lower() != "one":
                connection.insert_append(handle, self.data)
        except BaseException:
            connection.insert_cancel(handle)
            raise
        connection.insert_done(handle)

    def drop(self, connection: Connection) -> None:
        """Remove it again, in a session."""
        connection.query(f"DROP TEMPORARY TABLE IF EXISTS {quote_identifier(self.name)}")


async def read_multipart(request: web.BaseRequest, query: QueryRequest, *, limit: int) -> list[ExternalTable]:
    """Read the body: fields go where the URL's arguments went, files become tables.

    Raises:
        ClickHouseError: the body is no multipart, too large, or a table has no structure.
    """
    files: list[tuple[str, bytes]] = []
    fields: dict[str, str] = {}
    size = 0
    try:
        reader = await request.multipart()
        while (part := await reader.next()) is not None:
            if not isinstance(part, BodyPartReader) or part.name is None:
                continue
            data = bytes(await part.read())
            size += len(data)
            if size > limit:
                raise ClickHouseError(229, "QUERY_IS_TOO_LARGE", f"The request is larger than {limit} bytes")
            if part.filename is not None:
                files.append((part.name, data))
            elif part.name == "query":
                query.sql += data
            else:
                fields[part.name] = data.decode("utf-8", "surrogateescape")
    except (ValueError, AssertionError, RuntimeError) as error:
        raise ClickHouseError(1000, "POCO_EXCEPTION", f"Poco::Exception: broken multipart body: {error}") from error
    return _sort(query, files, fields)


def _sort(query: QueryRequest, files: list[tuple[str, bytes]], fields: dict[str, str]) -> list[ExternalTable]:
    tables = []
    for name, data in files:
        described = {}
        for part in ("format", "types", "structure"):
            in_url = query.settings.pop(f"{name}_{part}", None)
            described[part] = fields.pop(f"{name}_{part}", None) or in_url
        tables.append(ExternalTable(name, _structure(name, described), described["format"] or "TabSeparated", data))
    for key, value in fields.items():
        add_argument(query, key, value)
    return tables


def _structure(name: str, described: dict[str, str | None]) -> str:
    if described["structure"]:
        return described["structure"]
    if described["types"]:
        return ", ".join(f"_{number} {kind}" for number, kind in enumerate(_types(described["types"]), 1))
    raise ClickHouseError(
        36,
        "BAD_ARGUMENTS",
        f"Neither structure nor types have not been provided for external table {name}. "
        f"Use fields {name}_structure or {name}_types to do so",
    )


def _types(text: str) -> list[str]:
    """The types of a list; commas inside brackets belong to a type."""
    types, depth = [""], 0
    for sign in text:
        depth += {"(": 1, ")": -1}.get(sign, 0)
        if sign == "," and not depth:
            types.append("")
        else:
            types[-1] += sign
    return types
