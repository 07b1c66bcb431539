"""Every error this package raises on purpose.

::

    FrameworkError
    ├── SettingsError               a variable, option or compose file says something impossible
    ├── SeedError                   a fixture file cannot be loaded; knows file and line
    ├── ApplicationError            the user's application cannot be imported, does not start, or does not stop
    └── StackError                  trouble with the servers, never a failing test
        ├── BackendUnavailable      no Docker engine, a missing binary, no package manager
        ├── ResourceUnavailable     a port is taken, the tmpfs is too small
        ├── StackBusy               another command holds the stack, or sessions are using it
        └── ServiceUnavailable      a server does not start, does not answer, is not what it should be
            └── AuthenticationRefused   it answers, and refuses the credentials

A message has up to four parts: what failed and on which object, where we looked, the cause, and what to do next.
``exit_code`` is what the command line ends with; the numbers are documented in ``docs/cli.md`` and never change.
"""

from __future__ import annotations

__all__ = [
    "ApplicationError",
    "AuthenticationRefused",
    "BackendUnavailable",
    "FrameworkError",
    "ResourceUnavailable",
    "SeedError",
    "ServiceUnavailable",
    "SettingsError",
    "StackBusy",
    "StackError",
]


def _indented(lines: str) -> str:
    return "\n".join(f"    {line}" for line in lines.splitlines())


class FrameworkError(Exception):
    """Base of all errors raised on purpose.

    Args:
        what: what failed, naming the object ("port 5434 of test-postgres is in use").
        where: the file, line, address or variable we looked at.
        cause: why, as far as we know.
        fix: the next thing to type or to change.
    """

    exit_code = 1

    def __init__(
        self, what: str, *, where: str | None = None, cause: str | None = None, fix: str | None = None
    ) -> None:
        self.what = what
        self.where = where
        self.cause = cause
        self.fix = fix
        super().__init__(what)

    def __str__(self) -> str:
        parts = [self.what]
        for label, text in (("where", self.where), ("cause", self.cause), ("fix", self.fix)):
            if text:
                parts.append(f"  {label}: {text}")
        return "\n".join(parts)


class SettingsError(FrameworkError):
    """A variable, option, compose file or override says something impossible."""

    exit_code = 2


class StackError(FrameworkError):
    """Trouble with the servers themselves. Never means that a test failed."""

    exit_code = 4


class BackendUnavailable(StackError):
    """The chosen way to run the servers does not exist here."""

    exit_code = 3


class ServiceUnavailable(StackError):
    """A server does not start, does not answer, or is not the one we expect.

    Args:
        service: compose name of the service, for example ``test-postgres``.
        log_tail: the last lines of its log, shown below the message.
    """

    exit_code = 4

    def __init__(
        self,
        what: str,
        *,
        service: str,
        log_tail: str = "",
        where: str | None = None,
        cause: str | None = None,
        fix: str | None = None,
    ) -> None:
        super().__init__(what, where=where, cause=cause, fix=fix)
        self.service = service
        self.log_tail = log_tail

    def __str__(self) -> str:
        text = super().__str__()
        if self.log_tail:
            text += f"\n  last log lines of {self.service}:\n{_indented(self.log_tail)}"
        return text


class AuthenticationRefused(ServiceUnavailable):
    """The server answers and refuses the credentials. Waiting longer cannot help."""


class SeedError(FrameworkError):
    """A fixture file cannot be loaded.

    Args:
        file: path of the fixture file.
        line: 1-based line in it, where one is known.
    """

    exit_code = 5

    def __init__(
        self,
        what: str,
        *,
        file: object = None,
        line: int | None = None,
        cause: str | None = None,
        fix: str | None = None,
    ) -> None:
        where = None if file is None else f"{file}:{line}" if line is not None else str(file)
        super().__init__(what, where=where, cause=cause, fix=fix)
        self.file = file
        self.line = line


class ApplicationError(FrameworkError):
    """The application that the tests speak to is at fault: never the servers, and never a test.

    Args:
        log_tail: its last log lines, tracebacks included, shown below the message.
    """

    def __init__(
        self,
        what: str,
        *,
        log_tail: str = "",
        where: str | None = None,
        cause: str | None = None,
        fix: str | None = None,
    ) -> None:
        super().__init__(what, where=where, cause=cause, fix=fix)
        self.log_tail = log_tail

    def __str__(self) -> str:
        text = super().__str__()
        if self.log_tail:
            text += f"\n  its last log lines:\n{_indented(self.log_tail)}"
        return text


class ResourceUnavailable(StackError):
    """A port is taken, or there is not enough space on the tmpfs."""

    exit_code = 6


class StackBusy(StackError):
    """Another command holds the stack, or somebody is using it."""

    exit_code = 7
