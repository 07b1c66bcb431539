"""The command line and configuration of each native server, from the same definition and files as the containers'."""

from __future__ import annotations

import hashlib
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from test_framework.endpoints import Endpoints
from test_framework.errors import SettingsError
from test_framework.settings import endpoint_variables
from test_framework.stack.binaries import Binaries
from test_framework.stack.cluster import cluster_arguments, os_user_for_postgres
from test_framework.stack.commands import NATIVE_REDIS, clickhouse_flags, postgres_settings, quote_redis, redis_flags
from test_framework.stack.definition import ServiceDefinition, StackDefinition
from test_framework.stack.supervisor import ServerProgram

__all__ = ["NativeServers"]

# It becomes the name of an XML element.
_CLICKHOUSE_LIMITS = {
    "CLICKHOUSE_MAX_MEMORY_USAGE": "500000000",
    "CLICKHOUSE_MAX_SERVER_MEMORY_USAGE": "2400000000",
}
_CLICKHOUSE_USER = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


@dataclass(frozen=True, kw_only=True)
class NativeServers:
    """Values for one start: the definition, the programs, where things lie and which ports were chosen."""

    definition: StackDefinition
    binaries: Binaries
    run_dir: Path
    endpoints: Endpoints
    stack_id: str

    @property
    def images(self) -> Path:
        """Where the servers' own configuration files are."""
        return self.definition.directory / "images"

    def programs(self) -> list[ServerProgram]:
        """All of them, the slowest to start first."""
        return [self._clickhouse(), self._postgres(), self._redis(), self._monitor()]

    def environment(self) -> dict[str, str]:
        """What the servers read from their environment; secrets go this way and never onto a command line."""
        clickhouse = self.endpoints.clickhouse
        return {
            **_CLICKHOUSE_LIMITS,
            **self._service("test-clickhouse").environment,
            **self._service("test-monitor").environment,
            "CLICKHOUSE_WATCHDOG_ENABLE": "0",  # with it, signals would reach the wrong process
            "CLICKHOUSE_LISTEN_HOST": clickhouse.host,
            "CLICKHOUSE_HTTP_PORT": str(clickhouse.port),
            # As a digest: a value from the environment is parsed as XML.
            "CLICKHOUSE_PASSWORD_SHA256": hashlib.sha256(clickhouse.password.reveal().encode()).hexdigest(),
            "CLICKHOUSE_DATA_DIR": f"{self.run_dir}/clickhouse/data/",
            "TEST_STACK_NAME": self.definition.name,
            "TEST_STACK_ID": self.stack_id,
            **endpoint_variables(self.endpoints),
        }

    def _service(self, name: str) -> ServiceDefinition:
        return self.definition.services[name]

    def _postgres(self) -> ServerProgram:
        assert self.binaries.postgres is not None
        endpoint = self.endpoints.postgres
        arguments = cluster_arguments(endpoint.port, endpoint.host, postgres_settings(self._service("test-postgres")))
        return ServerProgram(
            name="test-postgres",
            argv=[str(self.binaries.postgres.path), "-D", str(self.run_dir / "postgres"), *arguments],
            user=os_user_for_postgres(),
            stop_signal="INT",  # fast shutdown: TERM would wait for every client to leave
        )

    def _redis(self) -> ServerProgram:
        assert self.binaries.redis is not None
        return ServerProgram(
            name="test-redis",
            argv=[str(self.binaries.redis.path), str(self.run_dir / "redis" / "redis.conf")],
            directory=self.run_dir / "redis",
            user=os_user_for_postgres(),
        )

    def prepare(self) -> None:
        """Lay the directories and configuration files that the servers start from."""
        user = os_user_for_postgres()
        redis = self.run_dir / "redis"
        for directory in (redis, self.run_dir / "clickhouse"):
            directory.mkdir(mode=0o700)
        # Copied, since the server may run as a user who cannot read the project's directory.
        shutil.copyfile(self.images / "redis" / "redis.test.conf", redis / "redis.test.conf")
        (redis / "redis.conf").write_text(self._redis_configuration(), "utf-8")
        if self.binaries.clickhouse:
            self._lay_clickhouse_configuration()
        if user:
            for path in (redis, *redis.iterdir()):
                shutil.chown(path, user)

    def _redis_configuration(self) -> str:
        """The tuned file, then what natively differs, then the user's own flags: later lines win."""
        endpoint = self.endpoints.redis
        lines = [
            "include redis.test.conf",
            f"bind {endpoint.host}",
            f"port {endpoint.port}",
            "daemonize no",
            *(f"{name} {value}" for name, value in NATIVE_REDIS.items()),
        ]
        if endpoint.password:
            lines.append(f"requirepass {quote_redis(endpoint.password.reveal())}")
        return "\n".join([*lines, *redis_flags(self._service("test-redis"))]) + "\n"

    def _clickhouse(self) -> ServerProgram:
        endpoint, data = self.endpoints.clickhouse, self.run_dir / "clickhouse"
        flags = clickhouse_flags(self._service("test-clickhouse"))
        if self.binaries.clickhouse:
            program, config = str(self.binaries.clickhouse.path), str(data / "config" / "config.xml")
            argv = [program, "server", f"--config-file={config}", *(["--", *flags] if flags else [])]
        else:
            argv = [sys.executable, "-P", "-m", "test_framework.embedded_clickhouse", "--path", str(data / "data")]
            argv += ["--host", endpoint.host, "--port", str(endpoint.port)]
            argv += ["--config-dir", str(self.images / "clickhouse"), *flags]
        return ServerProgram(name="test-clickhouse", argv=argv, directory=data)

    def _lay_clickhouse_configuration(self) -> None:
        """The shipped files, with the user's name in place: an element's name cannot come from the environment."""
        user = self.endpoints.clickhouse.user
        if not _CLICKHOUSE_USER.fullmatch(user):
            raise SettingsError(
                f"CLICKHOUSE_USER {user!r} cannot be used",
                where=self._service("test-clickhouse").raw.place("environment"),
                cause="it becomes the name of an XML element",
                fix="use letters, digits, _ and -, starting with a letter or _",
            )
        config = self.run_dir / "clickhouse" / "config"
        shutil.copytree(
            self.images / "clickhouse", config, ignore=shutil.ignore_patterns("Dockerfile", "*.sh", "*.txt")
        )
        users = config / "users.xml"
        users.write_text(users.read_text("utf-8").replace("STACK_USER", user), "utf-8")

    def _monitor(self) -> ServerProgram:
        endpoint = self.endpoints.monitor
        argv = [
            sys.executable,
            "-P",
            "-m",
            "test_framework.monitoring",
            "--host",
            endpoint.host,
            "--port",
            str(endpoint.port),
        ]
        return ServerProgram(name="test-monitor", argv=argv, directory=self.run_dir)
