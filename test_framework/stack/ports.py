"""TCP ports: is one free, who holds it, give me a free one."""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Iterator

import psutil

from test_framework.errors import ResourceUnavailable

__all__ = ["choose_port", "hold_port", "port_owner"]


def choose_port(host: str, wanted: int, *, service: str, variable: str) -> int:
    """``wanted`` if it can be bound on ``host``; any free port when ``wanted`` is 0.

    Raises:
        ResourceUnavailable: somebody listens there; the message names the process and the variable to change.
    """
    with hold_port(host, wanted, service=service, variable=variable) as port:
        return port


@contextlib.contextmanager
def hold_port(host: str, wanted: int, *, service: str, variable: str, place: str = "") -> Iterator[int]:
    """:func:`choose_port`, and nobody else gets it while the block runs. ``place`` is the file and line it is from."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As the servers do themselves: connections of an earlier run that linger in TIME_WAIT are no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, wanted))
        except OSError as error:
            where = f"{host}:{wanted}" + (f" ({place})" if place else "")
            raise _unusable(error, where, wanted, service, variable) from error
        yield int(probe.getsockname()[1])


def _unusable(error: OSError, where: str, port: int, service: str, variable: str) -> ResourceUnavailable:
    owner = port_owner(port) if error.errno == errno.EADDRINUSE else None
    return ResourceUnavailable(
        f"port {port} for {service} cannot be used",
        where=where,
        cause=f"it is used by {owner}" if owner else error.strerror or str(error),
        fix=f"set {variable} to another port (0 picks a free one)" + (", or stop that process" if owner else ""),
    )


def port_owner(port: int) -> str | None:
    """``pid 123 (postgres)`` for the process that listens on ``port``, as far as this user may know."""
    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.AccessDenied:
        return None
    for connection in connections:
        if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port:
            return _describe(connection.pid)
    return None


def _describe(pid: int | None) -> str:
    if pid is None:
        return "a process of another user"
    try:
        process = psutil.Process(pid)
        return f"pid {pid} ({process.name()}, user {process.username()})"
    except psutil.Error:
        return f"pid {pid}"
