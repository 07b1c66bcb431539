"""What a request asks for: its URL and headers, read into one value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

from test_framework.embedded_clickhouse.chance import Chance
from test_framework.embedded_clickhouse.errors import ClickHouseError

__all__ = ["QueryRequest", "parse_pairs", "read_request"]

#: URL keys that steer the transport and are no settings.
TRANSPORT_KEYS = frozenset(
    [
        "query",
        "database",
        "user",
        "password",
        "quota_key",
        "role",
        "query_id",
        "default_format",
        "compress",
        "decompress",
        "session_id",
        "session_timeout",
        "session_check",
        "close_session",
        "buffer_size",
        "wait_end_of_query",
        "client_protocol_version",
        "stacktrace",
        "http_method",
    ]
)
_MAX_SESSION_TIMEOUT = 3600
_chance = Chance()


@dataclass(slots=True)
class QueryRequest:
    """One request, still without its body.

    Attributes:
        query_id: as given, or a new one.
        sql: the statement's part in the URL.
        arguments: the transport keys of the URL, last one wins.
        settings: settings for this request only.
        params: query parameters without their ``param_`` prefix.
        readonly: true for GET and HEAD.
    """

    query_id: str
    sql: bytes
    arguments: dict[str, str]
    headers: Mapping[str, str]
    readonly: bool
    settings: dict[str, str] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    roles: list[str] = field(default_factory=list)

    @property
    def database(self) -> str:
        return self.headers.get("X-ClickHouse-Database") or self.arguments.get("database", "")

    @property
    def default_format(self) -> str:
        """The format where the statement names none."""
        return self.headers.get("X-ClickHouse-Format") or self.arguments.get("default_format", "")

    @property
    def input_format(self) -> str:
        """A format for the data that wins over the statement's, or nothing."""
        return self.settings.get("input_format") or self.settings.get("format", "")

    @property
    def output_format(self) -> str:
        """A format for the answer that wins over the statement's, or nothing."""
        return self.settings.get("output_format") or self.settings.get("format", "")

    @property
    def session_id(self) -> str:
        return self.arguments.get("session_id", "")

    @property
    def revision(self) -> int:
        """Revision of the native protocol that the client's reader knows; 0 for none.

        Raises:
            ClickHouseError: not a number.
        """
        return self.number("client_protocol_version", 0)

    def number(self, name: str, default: int) -> int:
        """An argument or setting that is a number.

        Raises:
            ClickHouseError: it is none.
        """
        text = self.arguments.get(name) or self.settings.get(name, "")
        if not text:
            return default
        if not text.isascii() or not text.isdigit():
            raise ClickHouseError(
                27, "CANNOT_PARSE_INPUT_ASSERTION_FAILED", f"Cannot parse the value of {name}: '{text}' is not a number"
            )
        return int(text)

    def flag(self, name: str, default: str = "0") -> bool:
        """Whether a boolean transport key or setting is on."""
        value = self.arguments.get(name) or self.settings.get(name, default)
        return value.lower() not in ("", "0", "false", "no")

    def session_timeout(self) -> float:
        """Seconds a session lives after its last request.

        Raises:
            ClickHouseError: not a number, or more than an hour.
        """
        text = self.arguments.get("session_timeout", "60")
        if not text.isascii() or not text.isdigit():
            raise ClickHouseError(374, "INVALID_SESSION_TIMEOUT", f"Invalid session timeout: '{text}'")
        if int(text) > _MAX_SESSION_TIMEOUT:
            raise ClickHouseError(
                374,
                "INVALID_SESSION_TIMEOUT",
                f"Session timeout '{text}' is larger than max_session_timeout: {_MAX_SESSION_TIMEOUT}. "
                "Maximum session timeout could be modified in configuration file.",
            )
        return float(text)


def parse_pairs(raw: str) -> list[tuple[str, bytes]]:
    """Key and value of each URL argument. Values stay bytes: SQL need not be UTF-8."""
    pairs = []
    for part in raw.split("&"):
        if part:
            key, _, value = part.partition("=")
            text = unquote_to_bytes(key.replace("+", " ")).decode("utf-8", "replace")
            pairs.append((text, unquote_to_bytes(value.replace("+", " ").encode("utf-8", "surrogateescape"))))
    return pairs


def read_request(method: str, raw_query: str, headers: Mapping[str, str]) -> QueryRequest:
    """Sort the URL's arguments into statement, transport keys, parameters and settings."""
    request = QueryRequest("", b"", {}, headers, readonly=method in ("GET", "HEAD"))
    for key, value in parse_pairs(raw_query):
        if key == "query":
            request.sql += value
        else:
            add_argument(request, key, value.decode("utf-8", "surrogateescape"))
    request.query_id = request.arguments.get("query_id") or headers.get("X-ClickHouse-Query-Id") or _chance.query_id()
    return request


def add_argument(request: QueryRequest, key: str, value: str) -> None:
    """File one argument where it belongs."""
    if key.startswith("param_"):
        request.params[key.removeprefix("param_")] = value
    elif key == "role":
        request.roles.append(value)
    elif key in TRANSPORT_KEYS:
        request.arguments[key] = value
    else:
        request.settings[key] = value
