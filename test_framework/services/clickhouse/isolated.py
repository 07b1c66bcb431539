"""The ClickHouse client that tests get: rows as tuples, and everything that changes data done when it returns."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from test_framework.endpoints import ClickHouseEndpoint
from test_framework.services.clickhouse.client import quote_identifier

if TYPE_CHECKING:
    from clickhouse_connect.driver.asyncclient import AsyncClient

__all__ = ["Parameters", "execute", "for_database", "insert_target", "open_client", "qualified_name"]

Parameters = Mapping[str, Any] | Sequence[Any] | None

# A test that looks must see what it wrote.
_SETTINGS = {
    "mutations_sync": 2,
    "alter_sync": 2,
    "async_insert": 0,
    "lightweight_deletes_sync": 2,
}
_WORD = r'(?:`[^`]+`|"[^"]+"|[\w.]+)'
_INSERT = re.compile(
    rf"\s*insert\s+into\s+(?:table\s+)?(?P<table>{_WORD}(?:\.{_WORD})?)\s*(?:\((?P<columns>[^()]*)\))?\s*(?:values\s*)?;?\s*",
    re.IGNORECASE,
)


async def open_client(endpoint: ClickHouseEndpoint, *, timeout: float, query_timeout: float) -> AsyncClient:
    """A client in the running loop whose default database is the endpoint's. Raises the driver's errors.

    ``timeout`` seconds to connect, ``query_timeout`` for an answer.
    """
    import clickhouse_connect  # takes a quarter of a second to import: only tests that use it pay

    return await clickhouse_connect.get_async_client(
        host=endpoint.host,
        port=endpoint.port,
        username=endpoint.user,
        password=endpoint.password.reveal(),
        database=endpoint.database,
        secure=endpoint.secure,
        ca_cert=endpoint.ca_cert,
        connect_timeout=timeout,
        send_receive_timeout=query_timeout,
        settings=dict(_SETTINGS),
        autogenerate_session_id=False,
        query_limit=0,
    )


def for_database(client: AsyncClient, database: str) -> AsyncClient:
    """The same client, its connections included, with another default database."""
    other = copy.copy(client)
    other.database = database
    return other


async def execute(client: AsyncClient, sql: str, parameters: Parameters = None) -> list[tuple[Any, ...]]:
    """Run one statement and return its rows; none for a statement that has no result.

    ``INSERT INTO table [(columns)] VALUES`` with a list of rows as ``parameters`` inserts those.
    """
    target = insert_target(sql) if _is_rows(parameters) else None
    if target is not None:
        table, columns = target
        await client.insert(table, [list(row) for row in parameters or ()], column_names=columns or "*")
        return []
    given = dict(parameters) if isinstance(parameters, Mapping) else parameters
    if client.create_query_context(query=sql, parameters=given).is_command:
        return _rows_of(await client.command(sql, parameters=given))
    return [tuple(row) for row in (await client.query(sql, parameters=given)).result_rows]


def _rows_of(answer: Any) -> list[tuple[Any, ...]]:
    """A command answers with its only value, with a list of texts, or with counters of what it did."""
    if isinstance(answer, list):
        return [tuple(answer)]
    return [(answer,)] if isinstance(answer, str | int) and answer != "" else []


def insert_target(sql: str) -> tuple[str, list[str]] | None:
    """Table and columns of an ``INSERT`` that has its rows elsewhere; ``None`` for any other statement."""
    found = _INSERT.fullmatch(sql)
    if found is None:
        return None
    columns = [name.strip().strip('`"') for name in (found["columns"] or "").split(",") if name.strip()]
    return found["table"], columns


def qualified_name(database: str, table: str) -> str:
    """``table`` as a name that means the same in every statement, whatever the default database is."""
    return f"{quote_identifier(database)}.{quote_identifier(table)}"


def _is_rows(parameters: Parameters) -> bool:
    return (
        parameters is not None
        and not isinstance(parameters, Mapping)
        and all(isinstance(row, Sequence) and not isinstance(row, str | bytes) for row in parameters)
    )
