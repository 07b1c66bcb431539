"""The Native format as newer clients ask for it: ``client_protocol_version`` over the engine's revision 0."""

from __future__ import annotations

from test_framework.embedded_clickhouse.engine import Connection
from test_framework.embedded_clickhouse.job import Job

__all__ = ["NativePatch"]


class NativePatch:
    """Gives each block what the client's revision expects; see ``native`` for the bytes."""

    def __init__(self, job: Job, revision: int) -> None:
        self._job = job
        self._revision = revision

    def __call__(self, data: bytes, rows: int, connection: Connection) -> bytes:
        return data
