"""Commands that reach beyond a test's own database: refused, whoever sends them through the framework's client."""

from __future__ import annotations

from collections.abc import Sequence

from test_framework.errors import FrameworkError

__all__ = ["MARKER", "RefusedCommand", "check_command"]

MARKER = "@pytest.mark.redis_unguarded"

# Commands by name, and what they would do to others.
_COMMANDS = {
    b"FLUSHALL": "it empties every database of the server",
    b"SWAPDB": "it exchanges databases that others use",
    b"MOVE": "it puts keys into a database that others use",
    b"MIGRATE": "it sends keys to another server",
    b"SHUTDOWN": "it ends the server",
    b"DEBUG": "it can crash or stop the server",
    b"REPLICAOF": "it replaces the data of the whole server",
    b"SLAVEOF": "it replaces the data of the whole server",
    b"FAILOVER": "it changes the role of the whole server",
}
_SUBCOMMANDS = {
    b"CONFIG": {b"SET", b"REWRITE", b"RESETSTAT"},
    b"ACL": {b"SETUSER", b"DELUSER", b"LOAD", b"SAVE"},
    b"CLIENT": {b"KILL", b"PAUSE"},
    b"SCRIPT": {b"FLUSH", b"KILL"},
    b"FUNCTION": {b"FLUSH", b"KILL", b"RESTORE"},
    b"MODULE": {b"LOAD", b"LOADEX", b"UNLOAD"},
    b"CLUSTER": {b"RESET", b"FLUSHSLOTS"},
}
_INSTEAD = {b"FLUSHALL": "use FLUSHDB, which empties this test's database", b"CONFIG": "CONFIG GET is allowed"}


class RefusedCommand(FrameworkError):
    """A command through a test's client would reach other tests. Nothing was sent."""


def check_command(arguments: Sequence[bytes], *, database: int) -> None:
    """Refuse what reaches beyond ``database``.

    Raises:
        RefusedCommand: naming the marker that lifts it.
    """
    name = arguments[0].upper()
    reason = _COMMANDS.get(name)
    if reason is None and len(arguments) > 1 and arguments[1].upper() in _SUBCOMMANDS.get(name, ()):
        reason = "it changes the whole server, also for the tests beside this one"
    target = _target(name, arguments)
    if target is not None and target != str(database).encode():
        reason = f"this test owns database {database}; {target.decode('utf-8', 'replace')} is another's"
    if reason is None:
        return
    what = b" ".join(arguments[: 2 if name in _SUBCOMMANDS or target is not None else 1]).decode("utf-8", "replace")
    instead = _INSTEAD.get(name)
    raise RefusedCommand(
        f"{what} is refused in a test",
        cause=reason,
        fix=(f"{instead}; or " if instead else "") + f"mark a test that must do this, and runs alone: {MARKER}",
    )


def _target(name: bytes, arguments: Sequence[bytes]) -> bytes | None:
    """The database that a command names."""
    if name == b"SELECT" and len(arguments) > 1:
        return arguments[1]
    if name == b"COPY":
        upper = [each.upper() for each in arguments]
        if b"DB" in upper[3:-1]:
            return arguments[upper.index(b"DB", 3) + 1]
    return None
