"""Headers of the answers, as a server sends them."""

from __future__ import annotations

from test_framework.embedded_clickhouse.engine import Engine
from test_framework.embedded_clickhouse.job import Stats

__all__ = ["ReplyHeaders", "content_type", "summary"]

_EXPOSED = (
    "X-ClickHouse-Query-Id,X-ClickHouse-Summary,X-ClickHouse-Server-Display-Name,X-ClickHouse-Format,"
    "X-ClickHouse-Timezone,X-ClickHouse-Exception-Code,X-ClickHouse-Exception-Tag"
)

_CONTENT_TYPES = {
    "arrow": "application/octet-stream",
    "csv": "text/csv; charset=UTF-8; header=absent",
    "csvwithnames": "text/csv; charset=UTF-8; header=present",
    "csvwithnamesandtypes": "text/csv; charset=UTF-8; header=present",
    "markdown": "text/markdown; charset=UTF-8",
    "native": "application/octet-stream",
    "parquet": "application/octet-stream",
    "prometheus": "text/plain; version=0.0.4; charset=UTF-8",
    "sqlinsert": "text/plain; charset=UTF-8",
    "xml": "application/xml; charset=UTF-8",
    "orc": "application/octet-stream",
    "arrowstream": "application/octet-stream",
    "rowbinary": "application/octet-stream",
    "rowbinarywithnames": "application/octet-stream",
    "rowbinarywithnamesandtypes": "application/octet-stream",
    "rowbinarywithdefaults": "application/octet-stream",
    "msgpack": "application/octet-stream",
    "protobuf": "application/octet-stream",
    "protobufsingle": "application/octet-stream",
    "protobuflist": "application/octet-stream",
    "capnproto": "application/octet-stream",
    "avro": "application/octet-stream",
    "npy": "application/octet-stream",
    "bsoneachrow": "application/octet-stream",
    "rawblob": "application/octet-stream",
    "odbcdriver2": "application/octet-stream",
    "mysqlwire": "application/octet-stream",
    "postgresqlwire": "application/octet-stream",
}


def content_type(format: str) -> str:
    """The Content-Type a server sends for an output format."""
    name = format.lower()
    if name in _CONTENT_TYPES:
        return _CONTENT_TYPES[name]
    if name.startswith(("tabseparated", "tsv")):
        return "text/tab-separated-values; charset=UTF-8"
    if "json" in name:
        each_row = name.endswith(("eachrow", "eachrowwithprogress", "lines", "names", "types")) or name == "ndjson"
        return "application/x-ndjson; charset=UTF-8" if each_row else "application/json; charset=UTF-8"
    return "text/plain; charset=UTF-8"


class ReplyHeaders:
    """The headers that every answer carries."""

    def __init__(self, engine: Engine) -> None:
        self.display_name = engine.display_name
        self.timezone = engine.timezone
        self.version = engine.version
        self.server = f"chdb-core/{engine.package_version} (embedded ClickHouse {engine.version})"

        self._common = {
            "X-ClickHouse-Server-Display-Name": self.display_name,
            "X-ClickHouse-Timezone": self.timezone,
            "Server": self.server,
            "Keep-Alive": "timeout=30, max=9999",
            "Access-Control-Expose-Headers": _EXPOSED,
        }

    def common(self, query_id: str) -> dict[str, str]:
        if not query_id.isprintable():
            # A header holds no line ends and the like; undecodable bytes go out as they came.
            query_id = "".join(sign for sign in query_id if sign.isprintable() or "\udc80" <= sign <= "\udcff")
        return {"X-ClickHouse-Query-Id": query_id, **self._common}


def summary(stats: Stats) -> str:
    """The X-ClickHouse-Summary header; all values are strings, as in a server's."""
    return (
        f'{{"read_rows":"{stats.read_rows}","read_bytes":"{stats.read_bytes}","written_rows":"{stats.written_rows}",'
        f'"written_bytes":"{stats.written_bytes}","total_rows_to_read":"{stats.total_rows}","result_rows":"{stats.result_rows}",'
        f'"result_bytes":"{stats.result_bytes}","elapsed_ns":"{stats.elapsed_ns}","memory_usage":"0"}}'
    )
