"""A native stack of its own for a test: driven from outside, by the command line in a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import psutil

from test_framework.endpoints import Endpoints
from test_framework.services.clickhouse import client as clickhouse
from test_framework.services.postgres import client as postgres
from test_framework.services.redis import client as redis
from test_framework.settings import Settings, load_settings
from test_framework.stack.run_directory import MARKER
from test_framework.state import StackState, read_state

__all__ = ["CHECKOUT", "PORTS", "NativeStack", "Person", "new_stack", "plain_person"]

CHECKOUT = Path(__file__).resolve().parent.parent
PORTS = ("TEST_POSTGRES_PORT", "TEST_REDIS_PORT", "TEST_CLICKHOUSE_HTTP_PORT", "TEST_MONITOR_PORT")
SERVERS = ("test-postgres", "test-redis", "test-clickhouse", "test-monitor")
TIMEOUT = 100.0  # the machine may be busy with other tests

_SMALL_SEED = {
    "postgres/01_things.sql": "CREATE TABLE things (id int PRIMARY KEY);\nINSERT INTO things VALUES (1), (2);\n",
    "redis/01_things.yaml": "thing: {type: string, value: one}\n",
    "clickhouse/01_things.sql": "CREATE TABLE things (id Int32) ENGINE = MergeTree ORDER BY id;\n"
    "INSERT INTO things VALUES (1), (2), (3);\n",
}


@dataclass(frozen=True)
class Person:
    """Who types the commands: an OS user, with an interpreter that this user may run."""

    user: str | None = None
    python: tuple[str, ...] = (sys.executable,)
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def uid(self) -> int:
        return os.getuid() if self.user is None else pwd.getpwnam(self.user).pw_uid

    @property
    def options(self) -> dict[str, Any]:
        """For ``Popen``."""
        if self.user is None:
            return {}
        return {"user": self.user, "group": pwd.getpwnam(self.user).pw_gid, "extra_groups": []}

    def own(self, *paths: Path) -> None:
        """Give ``paths`` to this user."""
        if self.user is not None:
            for path in paths:
                os.chown(path, self.uid, pwd.getpwnam(self.user).pw_gid)


@cache
def plain_person() -> Person:
    """Somebody without privileges: ourselves, or ``nobody`` when we are root.

    Our interpreter may lie in a directory that only root can enter; any other of the same version serves, with our
    packages on its path.
    """
    if os.getuid() != 0:
        return Person()
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = os.pathsep.join([str(CHECKOUT), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")])
    for python in (sys.executable, f"/usr/bin/{version}", f"/usr/local/bin/{version}"):
        person = Person("nobody", (python,), {"PYTHONPATH": packages, "PYTHONDONTWRITEBYTECODE": "1"})
        with contextlib.suppress(OSError):
            command = [python, "-c", "import psutil, asyncpg, yaml, test_framework, monitor"]
            environment = {**os.environ, **person.environment}
            if subprocess.run(command, env=environment, capture_output=True, cwd="/", **person.options).returncode == 0:
                return person
    raise RuntimeError(f"the user nobody can run no {version} that has this project's dependencies")


@dataclass(frozen=True, kw_only=True)
class NativeStack:
    """``project`` is where the user works: ``.env.test``, the override file and fixtures lie there."""

    base: Path
    project: Path
    name: str
    variables: Mapping[str, str]
    person: Person = Person()

    @property
    def environment(self) -> dict[str, str]:
        """Of every command: nothing that a developer set for a stack of their own."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("TEST_", "XDG_"))}
        kept.pop("CI", None)
        return {**kept, **self.person.environment, **self.variables}

    def having(self, **variables: str) -> NativeStack:
        """The same stack with other variables."""
        return replace(self, variables={**self.variables, **variables})

    def without(self, *names: str) -> NativeStack:
        return replace(self, variables={name: value for name, value in self.variables.items() if name not in names})

    def override(self, text: str) -> Path:
        """Write the override file."""
        file = self.project / "docker-compose.test.override.yml"
        file.write_text(text, "utf-8")
        return file

    def command(self, *arguments: str) -> list[str]:
        return [*self.person.python, "-P", "-m", "test_framework", *arguments]

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        """Run a command and do not wait for it."""
        return subprocess.Popen(
            self.command(*arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment,
            cwd=self.project,
            **{**self.person.options, **options},
        )

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, whatever its exit status."""
        process = self.start(*arguments, start_new_session=True)
        try:
            out, err = process.communicate(timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            process.terminate()
            out, err = process.communicate(timeout=TIMEOUT)
            raise AssertionError(f"{arguments} did not end:\n{out}\n{err}") from None
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def ok(self, *arguments: str) -> str:
        """Run a command that must succeed; returns its standard output."""
        done = self.run(*arguments)
        assert done.returncode == 0, f"{arguments}: exit status {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def fails(self, status: int, *arguments: str) -> str:
        """Run a command that must end with ``status``; returns its standard error, which is no traceback."""
        done = self.run(*arguments)
        assert done.returncode == status, f"{arguments}: exit status {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr, done.stderr
        return done.stderr

    def up(self) -> StackState:
        self.ok("up", "--backend", "native")
        return self.state

    def json(self, *arguments: str) -> dict[str, Any]:
        """What a command that succeeds answers with ``--json``."""
        answer: dict[str, Any] = json.loads(self.ok(*arguments, "--json"))
        return answer

    @property
    def state_directory(self) -> Path:
        return Path(self.variables["TEST_STATE_DIR"]) / self.name

    @property
    def state(self) -> StackState:
        """What the running stack published, read by hand: the file may be another user's."""
        values = json.loads((self.state_directory / "state.json").read_text())
        values.pop("version")
        return StackState(**{**values, "endpoints": Endpoints.from_dict(values["endpoints"])})

    @property
    def settings(self) -> Settings:
        """What a client in this project gets."""
        return load_settings(self.project, self.environment)

    @property
    def published(self) -> StackState | None:
        return read_state(self.state_directory)

    @property
    def run_dir(self) -> Path:
        run_dir = self.state.run_dir
        assert run_dir is not None
        return Path(run_dir)

    def processes(self) -> list[psutil.Process]:
        """Everything that was started for this stack and runs, with the servers' workers."""
        found: set[psutil.Process] = set()
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                marker = process.environ().get(MARKER, "")
                if f".{self.name}." in marker and process.status() != psutil.STATUS_ZOMBIE:
                    found |= {process, *process.children(recursive=True)}
        return sorted(found, key=lambda process: process.pid)

    def server(self, name: str) -> psutil.Process:
        """The main process of one server, by the port it listens on."""
        endpoints = self.state.endpoints
        port = getattr(endpoints, name.removeprefix("test-")).port
        # A worker that has just been forked listens for a moment, too; so the eldest is the one.
        for process in sorted(self.processes(), key=psutil.Process.create_time):
            with contextlib.suppress(psutil.NoSuchProcess):
                if any(
                    each.status == psutil.CONN_LISTEN and each.laddr.port == port
                    for each in process.net_connections("tcp")
                ):
                    return process
        raise AssertionError(f"nobody listens on the port of {name}")

    def pids(self) -> dict[str, int]:
        """Of the servers and their supervisor; the servers' workers come and go."""
        return {"supervisor": self.supervisor().pid, **{name: self.server(name).pid for name in SERVERS}}

    def supervisor(self) -> psutil.Process:
        return psutil.Process(int((self.run_dir / "supervisord.pid").read_text()))

    def traces(self) -> list[str]:
        """Everything of this stack that is there: processes, files, locks. Empty when nothing is."""
        places = {Path("/dev/shm"), Path(tempfile.gettempdir()), self.base / "run"}
        files = [str(path) for place in places for path in place.glob(f"*.{self.name}.*")]
        if self.state_directory.exists():
            files += [str(path) for path in (self.state_directory, *self.state_directory.iterdir())]
        return [*files, *(f"pid {process.pid} {process.name()}" for process in self.processes())]

    def shared_memory(self) -> int:
        """The identifier of the System V segment that PostgreSQL holds."""
        return int((self.run_dir / "postgres" / "postmaster.pid").read_text().splitlines()[6].split()[1])

    def postgres(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows of one statement, by way of the published endpoint."""
        endpoint = self.state.endpoints.postgres

        async def ask() -> list[tuple[Any, ...]]:
            async with postgres.connect(endpoint, timeout=10) as connection:
                return [tuple(row) for row in await connection.fetch(sql)]

        return asyncio.run(ask())

    def redis(self, *words: str) -> Any:
        """The reply to one command."""
        endpoint = self.state.endpoints.redis

        async def ask() -> Any:
            async with redis.connect(endpoint) as client:
                return _text(await client.call(*words))

        return asyncio.run(ask())

    def clickhouse(self, sql: str) -> str:
        """What one statement prints."""
        endpoint = self.state.endpoints.clickhouse

        async def ask() -> bytes:
            async with clickhouse.connect(endpoint, timeout=10) as client:
                return await client.execute(sql, database=endpoint.database)

        return asyncio.run(ask()).decode().strip()

    def remove(self) -> None:
        """Bring it down whatever happened, and delete the directory of the test."""
        self.run("down")
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                process.send_signal(signal.SIGKILL)
        shutil.rmtree(self.base, ignore_errors=True)


def _text(reply: Any) -> Any:
    if isinstance(reply, list):
        return [_text(each) for each in reply]
    return reply.decode() if isinstance(reply, bytes) else reply


def segment_exists(identifier: int) -> bool:
    """Whether a System V shared memory segment is there (2 is IPC_STAT; 1,024 bytes hold its answer anywhere)."""
    return ctypes.CDLL(None).shmctl(identifier, 2, ctypes.create_string_buffer(1024)) == 0


@contextlib.contextmanager
def new_stack(
    cache: Path, *, folder: str = "project", person: Person | None = None, seed: Mapping[str, str] | None = _SMALL_SEED
) -> Iterator[NativeStack]:
    """A stack that is not up yet; gone afterwards. ``seed`` ``None`` is what the package ships."""
    base = Path(tempfile.mkdtemp(prefix="tf-native-"))
    base.chmod(0o755)
    project, home = base / folder, base / "home"
    for directory in (project, home):
        directory.mkdir()
    who = person or Person()
    who.own(base, project, home)
    name = f"tfn-{secrets.token_hex(4)}"
    variables = {
        **dict.fromkeys(PORTS, "0"),
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home / "cache" if who.user else cache),
        "TEST_STACK_NAME": name,
        "TEST_STATE_DIR": str(home / "state"),
        # What "auto" and "down" find must not depend on the machine.
        "DOCKER_HOST": "unix:///nonexistent.sock",
    }
    if seed is not None:
        for file, text in seed.items():
            path = base / "seed" / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        variables["TEST_FIXTURES_DIR"] = str(base / "seed")
    stack = NativeStack(base=base, project=project, name=name, variables=variables, person=who)
    try:
        yield stack
    finally:
        stack.remove()
