"""What the endpoint is asked to be: command line and environment, read once into frozen values."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from test_framework.errors import SettingsError

__all__ = ["Credential", "Options", "parse_options"]

_DESCRIPTION = (
    "Serve the ClickHouse HTTP interface from the embedded engine (chdb-core). "
    "One process, one data directory; loopback unless told otherwise."
)
_ENVIRONMENT = """\
environment:
  CLICKHOUSE_USER, CLICKHOUSE_PASSWORD   the account that may log in (default: user "default", no password)
  CLICKHOUSE_DB                          a database created at start
  CLICKHOUSE_MAX_MEMORY_USAGE            bytes one query may use (setting max_memory_usage)
  CLICKHOUSE_MAX_SERVER_MEMORY_USAGE     bytes all queries together may use
"""


@dataclass(frozen=True, slots=True)
class Credential:
    """One account. An empty password means that none is asked for."""

    user: str
    password: str = field(repr=False)
    readonly: int = 0


@dataclass(frozen=True, slots=True)
class Options:
    """Everything the process needs to know.

    Attributes:
        path: data directory; holds the data, ``user_files``, ``user_scripts`` and a private spool.
        host: address to listen on.
        port: TCP port, 0 for any free one.
        native_port: port that answers HTTP requests with a hint, as a server's native port does; ``None`` for no such
            listener, 0 for any free one.
        port_file: written atomically with the chosen port once the endpoint answers.
        accounts: who may log in.
        database: database created at start, or empty.
        max_memory_usage: bytes for one query, 0 for the engine's default.
        max_server_memory_usage: bytes for all queries together, 0 for the engine's default.
        config_files: server configuration in ClickHouse's XML, merged in order.
        users_files: profiles and accounts in ClickHouse's XML, merged in order.
        function_files: definitions of functions that run scripts, in ClickHouse's XML.
        max_concurrent_queries: above it a query is refused with TOO_MANY_SIMULTANEOUS_QUERIES.
        max_body_bytes: largest statement kept in memory; insert data is streamed and has no limit.
        query_log_rows: how many finished queries ``system.query_log`` remembers.
    """

    path: Path
    host: str = "127.0.0.1"
    port: int = 8123
    native_port: int | None = None
    port_file: Path | None = None
    accounts: tuple[Credential, ...] = (Credential("default", ""),)
    database: str = ""
    max_memory_usage: int = 0
    max_server_memory_usage: int = 0
    config_files: tuple[Path, ...] = ()
    users_files: tuple[Path, ...] = ()
    function_files: tuple[Path, ...] = ()
    max_concurrent_queries: int = 100
    max_body_bytes: int = 64 << 20
    query_log_rows: int = 10_000


def parse_options(argv: Sequence[str], environ: Mapping[str, str]) -> Options:
    """Read the command line, then the JSON file it names, then the environment.

    The command line wins over the file, the file over the environment.

    Raises:
        SettingsError: a value is not what it should be; names the option, the value and the expected type.
    """
    parsed = _parser().parse_args(argv)
    extra: dict[str, Any] = _read_json(parsed.config) if parsed.config else {}
    user = str(extra.get("user", environ.get("CLICKHOUSE_USER") or "default"))
    password = str(extra.get("password", environ.get("CLICKHOUSE_PASSWORD", "")))
    accounts = [Credential(user, password)]
    accounts += [Credential(str(name), str(word)) for name, word in dict(extra.get("users", {})).items()]
    config_dir: Path | None = parsed.config_dir
    return Options(
        path=Path(parsed.path).absolute(),
        host=parsed.host,
        port=parsed.port,
        native_port=parsed.native_port,
        port_file=Path(parsed.port_file).absolute() if parsed.port_file else None,
        accounts=tuple(accounts),
        database=str(extra.get("database", environ.get("CLICKHOUSE_DB", ""))),
        max_memory_usage=_bytes("CLICKHOUSE_MAX_MEMORY_USAGE", extra, environ),
        max_server_memory_usage=_bytes("CLICKHOUSE_MAX_SERVER_MEMORY_USAGE", extra, environ),
        config_files=_xml_files(config_dir, "config.d/*.xml", ()),
        users_files=_xml_files(config_dir, "users.d/*.xml", parsed.users_file),
        function_files=_xml_files(config_dir, "*_function.xml", ()),
        max_concurrent_queries=int(extra.get("max_concurrent_queries", 100)),
        query_log_rows=int(extra.get("query_log_rows", 10_000)),
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m test_framework.embedded_clickhouse",
        description=_DESCRIPTION,
        epilog=_ENVIRONMENT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--path", required=True, metavar="DIR", help="data directory; one process per directory")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8123, help="port, 0 for any free one (default: %(default)s)")
    parser.add_argument(
        "--native-port",
        type=int,
        default=None,
        metavar="N",
        help="also listen here and tell HTTP clients that they want the other port; the native protocol is not spoken",
    )
    parser.add_argument("--port-file", metavar="FILE", help="write the port here once the endpoint answers")
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE.json",
        help="JSON object: user, password, users {name: password}, database, max_memory_usage, "
        "max_server_memory_usage, max_concurrent_queries, query_log_rows",
    )
    parser.add_argument(
        "--config-dir",
        type=Path,
        metavar="DIR",
        help="directory with config.d/*.xml, users.d/*.xml and *_function.xml of a server",
    )
    parser.add_argument(
        "--users-file", type=Path, action="append", default=[], metavar="FILE.xml", help="profiles; may be repeated"
    )
    return parser


_CONFIG_KEYS = frozenset(
    [
        "user",
        "password",
        "users",
        "database",
        "max_memory_usage",
        "max_server_memory_usage",
        "max_concurrent_queries",
        "query_log_rows",
    ]
)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsError("cannot read the configuration", where=str(path), cause=str(error)) from error
    if not isinstance(value, dict):
        raise SettingsError("the configuration is not a JSON object", where=str(path))
    unknown = sorted(set(value) - _CONFIG_KEYS)
    if unknown:
        raise SettingsError(
            f"unknown keys in the configuration: {', '.join(unknown)}",
            where=str(path),
            fix=f"known keys: {', '.join(sorted(_CONFIG_KEYS))}",
        )
    return value


def _bytes(variable: str, extra: Mapping[str, object], environ: Mapping[str, str]) -> int:
    key = variable.removeprefix("CLICKHOUSE_").lower()
    raw = extra.get(key, environ.get(variable) or 0)
    try:
        value = int(str(raw))
    except ValueError as error:
        raise SettingsError(f"{variable}={raw!r} is not a number of bytes", where=variable) from error
    if value < 0:
        raise SettingsError(f"{variable}={raw!r} is negative", where=variable)
    return value


def _xml_files(config_dir: Path | None, pattern: str, more: Sequence[Path]) -> tuple[Path, ...]:
    found = sorted(config_dir.glob(pattern)) if config_dir else []
    missing = [path for path in more if not path.is_file()]
    if config_dir and not config_dir.is_dir():
        missing.append(config_dir)
    if missing:
        raise SettingsError("configuration does not exist", where=", ".join(map(str, missing)))
    return (*(path.absolute() for path in found), *(path.absolute() for path in more))


def environment() -> Mapping[str, str]:
    """The process environment; the only place of the package that reads it."""
    return os.environ
