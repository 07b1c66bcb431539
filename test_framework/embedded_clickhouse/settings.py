"""Settings on a connection: quoting, and what can travel in the connection string."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping

from test_framework.embedded_clickhouse.engine import Connection, Engine, safe_option
from test_framework.embedded_clickhouse.errors import ClickHouseError

__all__ = ["apply_settings", "connect_with", "quote_identifier", "quote_string", "set_params", "set_statement"]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*\Z")
_INTEGER = re.compile(r"[0-9]{1,18}\Z")
# What clickhouse-connect sends with every request.
_USUAL = frozenset({("date_time_input_format", "best_effort")})


def quote_string(value: str) -> str:
    """A string literal of the engine's SQL."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def quote_identifier(name: str) -> str:
    """A quoted identifier of the engine's SQL."""
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def check_name(name: str) -> None:
    """Refuse what cannot be the name of a setting, before it gets into a statement.

    Raises:
        ClickHouseError: UNKNOWN_SETTING.
    """
    if not _NAME.match(name):
        raise ClickHouseError(
            115, "UNKNOWN_SETTING", f"Setting {name} is neither a builtin setting nor started with the prefix"
        )


def set_statement(settings: Collection[tuple[str, str]]) -> bytes:
    """One SET statement for all of them."""
    for name, _ in settings:
        check_name(name)
    return _set(settings)


def set_params(params: Mapping[str, str]) -> bytes:
    """One SET statement for query parameters, for statements that cannot be given them otherwise."""
    return _set((quote_identifier(f"param_{name}"), value) for name, value in params.items())


def _set(values: Iterable[tuple[str, str]]) -> bytes:
    parts = (f"{name}={quote_string(value)}" for name, value in values)
    return ("SET " + ", ".join(parts)).encode("utf-8", "surrogateescape")


def apply_settings(connection: Connection, settings: Mapping[str, str]) -> None:
    """Set them on the connection; errors are the engine's."""
    if settings:
        connection.query(set_statement(settings.items()))


def connect_with(engine: Engine, *, database: str, settings: Mapping[str, str]) -> Connection:
    """A fresh connection for one request.

    What the connection string can carry costs nothing there; the rest is one SET statement, an eighth of a millisecond.
    """
    options = {}
    rest = {}
    for name, value in settings.items():
        if (name, value) in _USUAL or (_INTEGER.match(value) and name in engine.setting_names):
            options[name] = value
        else:
            rest[name] = value
    if database and safe_option(database):
        options["database"] = database
    connection = engine.connect(options)
    try:
        if database and "database" not in options:
            connection.query(f"USE {quote_identifier(database)}".encode("utf-8", "surrogateescape"))
        apply_settings(connection, rest)
    except BaseException:
        connection.close()
        raise
    return connection
