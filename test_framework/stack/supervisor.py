"""The native servers' supervisor: supervisord in the run directory, driven over its socket.

It starts each server at our word (its own ``autostart`` would cost a second), brings a crashed one back, and ends
with all of them.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
import xmlrpc.client
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from test_framework.errors import StackError
from test_framework.stack.run_directory import is_running

__all__ = ["ServerProgram", "Supervisor", "command_variables"]

# A Unix socket's path may have about 100 bytes on every system.
_LONGEST_SOCKET_PATH = 90
# Its loop answers at once, or is stopped.
_RPC_TIMEOUT = 2.0
_GROUP = "stack"
_SOCKET = "TEST_FRAMEWORK_SUPERVISOR_SOCKET"
# supervisord's faults ABNORMAL_TERMINATION and SPAWN_ERROR.
_ENDED_AT_ONCE = (40, 50)


@dataclass(frozen=True, kw_only=True)
class ServerProgram:
    """One process to be kept alive. ``user`` is an OS user to become (needs root); ``None`` stays as we are."""

    name: str
    argv: Sequence[str]
    directory: Path | None = None
    user: str | None = None
    stop_signal: str = "TERM"


@dataclass(frozen=True)
class Supervisor:
    """A handle on the supervisord of one run directory; it need not be running."""

    run_dir: Path

    @property
    def log_dir(self) -> Path:
        return self.run_dir / "logs"

    @property
    def _config(self) -> Path:
        return self.run_dir / "supervisord.conf"

    @property
    def _socket(self) -> Path:
        short = self.run_dir / "supervisor.sock"
        if len(os.fsencode(short)) <= _LONGEST_SOCKET_PATH:
            return short
        return Path(tempfile.gettempdir()) / f"tf-{hashlib.sha256(os.fsencode(self.run_dir)).hexdigest()[:20]}.sock"

    def log(self, name: str) -> Path:
        """Where the output of program ``name`` goes."""
        return self.log_dir / f"{name}.log"

    def launch(self, programs: Sequence[ServerProgram], environment: Mapping[str, str]) -> None:
        """Start supervisord itself, with no program started yet.

        ``environment`` is inherited by every program: supervisor's own ``environment=`` cannot hold both kinds of
        quotes, and a configuration file is no place for passwords.

        Raises:
            StackError: it did not start; its output is in the message.
        """
        self.log_dir.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(self._config, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(self._configuration(programs))
        done = subprocess.run(
            [sys.executable, "-P", "-m", "supervisor.supervisord", "-c", str(self._config)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, **environment, _SOCKET: str(self._socket), **command_variables(programs)},
            cwd="/",
            start_new_session=True,  # the terminal's Ctrl-C is for us
        )
        if done.returncode != 0:
            raise StackError(
                "the supervisor of the native servers did not start",
                where=str(self._config),
                cause=(done.stderr or done.stdout).strip(),
                fix="run 'make test-down', then 'make test-up' again",
            )

    def start(self, name: str) -> None:
        """Start one program and return at once.

        Raises:
            StackError: the supervisor is gone, or could not.
        """
        try:
            self._call("startProcess", f"{_GROUP}:{name}", False)  # noqa: FBT003 - it does not wait
        except (OSError, http.client.HTTPException, xmlrpc.client.Error) as error:
            if isinstance(error, xmlrpc.client.Fault) and error.faultCode in _ENDED_AT_ONCE:
                return  # whoever waits for its answer sees that, and has its log
            raise StackError(
                f"the supervisor could not start {name}",
                where=str(self._socket),
                cause=str(error),
                fix="run 'make test-down', then 'make test-up' again",
            ) from error

    def states(self) -> dict[str, dict[str, Any]]:
        """By program: ``statename``, ``pid``, ``exitstatus``, ``spawnerr``. Empty when the supervisor is gone."""
        try:
            return {info["name"]: info for info in self._call("getAllProcessInfo")}
        except (OSError, http.client.HTTPException, xmlrpc.client.Error):
            return {}

    def pid(self) -> int | None:
        """The supervisor's own process id while it runs."""
        try:
            pid = int((self.run_dir / "supervisord.pid").read_text())
            return pid if any(str(self._config) == part for part in psutil.Process(pid).cmdline()) else None
        except (OSError, ValueError, psutil.Error):
            return None

    def shutdown(self, seconds: float) -> None:
        """Stop every program and itself, waiting at most ``seconds`` for that. Harmless when it is gone."""
        pid = self.pid()
        if pid is not None:
            give_up = time.monotonic() + seconds
            listening = self._ask_to_end(pid)
            while listening and is_running(pid) and time.monotonic() < give_up:
                # Each call wakes its loop, which otherwise notices a program's end up to a second late.
                self.states()
                time.sleep(0.01)
        # It may lie outside the run directory, where paths are long.
        self._socket.unlink(missing_ok=True)

    def _ask_to_end(self, pid: int) -> bool:
        """Whether it is worth waiting for its end."""
        try:
            self._call("shutdown")
        except TimeoutError:
            return False  # it hangs; its programs must be ended without it
        except (OSError, http.client.HTTPException, xmlrpc.client.Error):
            # Its socket is lost (another TMPDIR, a cleaner): the signal means the same to it.
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        return True

    def _call(self, method: str, *arguments: Any) -> Any:
        connection = _UnixConnection(self._socket)
        try:
            body = xmlrpc.client.dumps(arguments, f"supervisor.{method}")
            connection.request("POST", "/RPC2", body, {"Content-Type": "text/xml"})
            response = connection.getresponse()
            text = response.read()
        finally:
            connection.close()
        if response.status != 200:
            raise xmlrpc.client.ProtocolError(str(self._socket), response.status, response.reason, {})
        (answer,), _ = xmlrpc.client.loads(text)
        return answer

    def _configuration(self, programs: Sequence[ServerProgram]) -> str:
        sections = [
            _section("unix_http_server", {"file": f"%(ENV_{_SOCKET})s", "chmod": "0700"}),
            _section(
                "supervisord",
                {
                    "logfile": self._here(self.log("supervisord")),
                    "pidfile": self._here(self.run_dir / "supervisord.pid"),
                    "childlogdir": self._here(self.log_dir),
                    "loglevel": "info",
                    "umask": "077",
                    **({"user": "root"} if os.getuid() == 0 else {}),
                },
            ),
            _section(
                "rpcinterface:supervisor",
                {"supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"},
            ),
            # In one group they are stopped all at once; each in its own, they would wait for each other.
            _section(f"group:{_GROUP}", {"programs": ",".join(program.name for program in programs)}),
            *(self._program(program) for program in programs),
        ]
        return "\n".join(sections)

    def _program(self, program: ServerProgram) -> str:
        options = {
            "command": f"%(ENV_{_command_variable(program)})s",
            "autostart": "false",
            "autorestart": "true",
            # Zero: "started" is what the server's own protocol says, not that it has lived for a while.
            "startsecs": "0",
            "stopsignal": program.stop_signal,
            "stopwaitsecs": "5",
            "stopasgroup": "false",
            "killasgroup": "true",
            "redirect_stderr": "true",
            "stdout_logfile": self._here(self.log(program.name)),
            "stdout_logfile_maxbytes": "4MB",
            "stdout_logfile_backups": "0",
        }
        if program.directory:
            options["directory"] = self._here(program.directory)
        if program.user:
            options["user"] = program.user
        return _section(f"program:{program.name}", options)

    def _here(self, path: Path) -> str:
        """A path as supervisor knows it: below its own file's directory, whatever characters that one's path has."""
        return f"%(here)s/{path.relative_to(self.run_dir)}"


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=_RPC_TIMEOUT)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def command_variables(programs: Sequence[ServerProgram]) -> dict[str, str]:
    """The command lines. In supervisor's file itself a line break, ``;``, ``#`` and ``%`` would have meanings."""
    return {_command_variable(program): shlex.join(program.argv) for program in programs}


def _command_variable(program: ServerProgram) -> str:
    return f"TEST_FRAMEWORK_COMMAND_{program.name.upper().replace('-', '_')}"


def _section(name: str, options: Mapping[str, str]) -> str:
    return "\n".join([f"[{name}]", *(f"{key} = {value}" for key, value in options.items()), ""])
