"""A PostgreSQL cluster that is initialised, tuned and seeded ahead of time: starting is copying it to tmpfs.

Prepared clusters are kept in the user's cache directory, one per content: server version, configuration files,
credentials and seed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from test_framework.endpoints import PostgresEndpoint
from test_framework.errors import ServiceUnavailable
from test_framework.services.postgres.client import quote_literal
from test_framework.stack.binaries import Program
from test_framework.stack.ports import choose_port
from test_framework.stack.run_directory import MARKER

__all__ = ["PreparedCluster", "cluster_arguments", "os_user_for_postgres"]

# Clusters of earlier seeds and versions are thrown away beyond these, oldest first.
KEPT = 4
_COMPLETE = "complete"
_INITDB = ("--encoding=UTF8", "--no-locale", "--wal-segsize=1", "--username=postgres", "--auth=reject")


def os_user_for_postgres() -> str | None:
    """The unprivileged user that PostgreSQL runs as: ``None`` means "as we are", since it refuses only root."""
    if os.getuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    raise ServiceUnavailable(
        "PostgreSQL refuses to run as root, and there is no user to become",
        service="test-postgres",
        where="the users postgres and nobody",
        fix="create one: useradd --system postgres",
    )


def cluster_arguments(port: int, host: str, settings: Sequence[str]) -> list[str]:
    """Arguments of ``postgres`` beyond the configuration file. Only TCP: one way in, and no socket to leave behind."""
    fixed = [f"port={port}", f"listen_addresses={host}", "unix_socket_directories="]
    return [word for setting in (*fixed, *settings) for word in ("-c", setting)]


@dataclass(frozen=True, kw_only=True)
class PreparedCluster:
    """Makes, keeps and copies the prepared cluster of one content.

    Args:
        images: directory with ``postgresql.test.conf``, ``pg_hba.conf`` and ``bootstrap.sql``.
        endpoint: role, password and database to create (host and port are not used).
        seed_checksum: what the seed consists of; ``None`` leaves the cluster unseeded.
        seed: loads the seed into the running cluster at the endpoint it is given.
    """

    postgres: Program
    initdb: Path
    images: Path
    endpoint: PostgresEndpoint
    seed_checksum: str | None
    seed: Callable[[PostgresEndpoint], Awaitable[None]]

    @property
    def key(self) -> str:
        digest = hashlib.sha256()
        user = os_user_for_postgres() or ""
        identity = (self.endpoint.user, self.endpoint.password.reveal(), self.endpoint.database, self.seed_checksum)
        for part in (str(self.postgres.path), self.postgres.version, user, *_INITDB, *map(str, identity)):
            digest.update(part.encode() + b"\0")
        for file in sorted(self.images.glob("*.*")):
            digest.update(file.read_bytes())
        return digest.hexdigest()[:20]

    @property
    def _cached(self) -> Path:
        return platformdirs.user_cache_path("test-framework") / "clusters" / self.key

    @property
    def ready(self) -> bool:
        """Whether it is in the cache, complete."""
        return (self._cached / _COMPLETE).exists()

    async def copy_to(self, target: Path, scratch: Path, report: Callable[[str], None]) -> None:
        """Put the cluster at ``target`` (which must not exist), preparing it if it is not cached.

        ``scratch`` is the run directory, on the same file system as ``target``.

        Raises:
            ServiceUnavailable: initdb or the server failed while it was prepared.
        """
        if not self.ready:
            report("preparing a PostgreSQL cluster (once per seed and version)")
            await self._prepare(target, scratch, report)
            return
        with contextlib.suppress(OSError):
            os.utime(self._cached)  # before the copy, so that nobody throws away as old what we read
        # Ownership and modes come along: the server refuses a data directory that is not its user's own.
        _checked(["cp", "-a", str(self._cached / "data"), str(target)], "copy the prepared cluster")

    async def _prepare(self, target: Path, scratch: Path, report: Callable[[str], None]) -> None:
        user = os_user_for_postgres()
        environment = {**os.environ, MARKER: str(scratch)}
        with tempfile.TemporaryDirectory(dir=scratch, prefix="prepare-") as temporary:
            work = Path(temporary)
            if user:
                shutil.chown(work, user)
            data = work / "data"
            initdb = [str(self.initdb), "-D", str(data), *_INITDB, "--no-sync"]
            _checked(initdb, "initialise a cluster", user=user, environment=environment)
            self._configure(data, user)
            self._bootstrap(data, user)
            with self._running(data, user, work / "server.log", environment) as running:
                await self.seed(running)
            try:
                self._keep(data)
            except (OSError, ServiceUnavailable) as error:
                report(f"the prepared cluster cannot be kept for the next start: {str(error).splitlines()[-1].strip()}")
            data.rename(target)

    def _configure(self, data: Path, user: str | None) -> None:
        for name in ("postgresql.test.conf", "pg_hba.conf"):
            shutil.copyfile(self.images / name, data / name)
            if user:
                shutil.chown(data / name, user)
        with (data / "postgresql.conf").open("a", encoding="utf-8") as stream:
            stream.write("\ninclude = 'postgresql.test.conf'\n")

    def _bootstrap(self, data: Path, user: str | None) -> None:
        """Create role and database in single-user mode: no port yet, and no password on a command line."""
        values = {"role": self.endpoint.user, "password": self.endpoint.password.reveal()}
        values["database"] = self.endpoint.database
        statements = [f"SET bootstrap.{name} = {quote_literal(value)};\n\n" for name, value in values.items()]
        script = "".join(statements) + (self.images / "bootstrap.sql").read_text("utf-8")
        # Without the last option a failing statement would be logged with the password in it.
        options = ["-D", str(data), "-c", "log_min_error_statement=panic"]
        output = _checked(
            [str(self.postgres.path), "--single", "-j", *options, "postgres"],
            "create the role and the database",
            user=user,
            text=script,
        )
        # Single-user mode exits with 0 whatever happens.
        if 'bootstrap = "complete"' not in output:
            raise ServiceUnavailable(
                "could not create the role and the database",
                service="test-postgres",
                where=f"role {self.endpoint.user}, database {self.endpoint.database}",
                cause="; ".join(line for line in output.splitlines() if "ERROR" in line or "FATAL" in line),
            )

    @contextlib.contextmanager
    def _running(
        self, data: Path, user: str | None, log: Path, environment: dict[str, str]
    ) -> Iterator[PostgresEndpoint]:
        """The server on a free port of the loopback, ended when the block is left."""
        port = choose_port("127.0.0.1", 0, service="test-postgres", variable="TEST_POSTGRES_PORT")
        command = [str(self.postgres.path), "-D", str(data), *cluster_arguments(port, "127.0.0.1", ())]
        with log.open("wb") as output:
            server = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                user=user,
                cwd="/",
                env=environment,
                start_new_session=True,  # the terminal's Ctrl-C is for us
            )
        try:
            yield dataclasses.replace(self.endpoint, host="127.0.0.1", port=port)
        finally:
            server.send_signal(signal.SIGINT)
            try:
                server.wait(timeout=10)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()

    def _keep(self, data: Path) -> None:
        """Move the stopped cluster into the cache in one step, so that nobody ever copies half of one."""
        clusters = self._cached.parent
        clusters.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=clusters, prefix=".making-") as temporary:
            entry = Path(temporary) / "entry"
            entry.mkdir(mode=0o700)
            _checked(["cp", "-a", str(data), str(entry / "data")], "keep the prepared cluster")
            (entry / _COMPLETE).touch()
            with contextlib.suppress(OSError):  # somebody else prepared the same one meanwhile
                entry.rename(self._cached)
        entries = sorted(clusters.glob("[!.]*"), key=lambda path: path.stat().st_mtime, reverse=True)
        for old in entries[KEPT:]:
            shutil.rmtree(old, ignore_errors=True)


def _checked(
    command: Sequence[str],
    purpose: str,
    *,
    user: str | None = None,
    text: str | None = None,
    environment: dict[str, str] | None = None,
) -> str:
    """Run a program to its end, as ``user``; returns all that it said.

    Raises:
        ServiceUnavailable: it failed.
    """
    done = subprocess.run(
        command,
        input=text,
        capture_output=True,
        text=True,
        check=False,
        user=user,
        cwd="/",
        env=environment,
        start_new_session=True,
    )
    if done.returncode != 0:
        raise ServiceUnavailable(
            f"could not {purpose}",
            service="test-postgres",
            where=" ".join(command[:3]),
            cause=(done.stderr or done.stdout).strip()[-1500:] or f"exit status {done.returncode}",
        )
    return done.stdout + done.stderr
